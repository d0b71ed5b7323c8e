"""The run of char_lm that many tests train: one text, one network, one recipe.

Its programs are so compiled once for all of them: the length of the text, which is the epoch's, and
the learning rate are in them as well. How often it logs, evaluates and saves is not.
"""

TEXT = "to be, or not to be: that is the question. " * 11
FLAGS = (
    *("--cell", "gru", "--layers", "1", "--hidden", "6", "--embed", "3", "--bptt", "5"),
    *("--lanes", "4", "--dropout", "0.3", "--lr", "0.02", "--sample-length", "4"),
)
