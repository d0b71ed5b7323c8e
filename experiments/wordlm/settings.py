"""What a word model can be told."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from experiments import cli, language
from rnn_jax.errors import BadInput

Loss = Literal["full", "sampled", "sampled-frequency", "nce", "classes", "adaptive"]
_DRAWN = ("sampled", "sampled-frequency", "nce")  # of which some words stand for all


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordSettings(language.WritingSettings, cli.LanguageSettings):
    """Which text, which words, which network, which recipe."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"vocabulary": "[2, inf)", "embed": "[0, inf)", "embed_dropout": "[0, 1)"},
        **{"epochs": "[0, inf)", "lr_decay": "(0, 1]", "decay_after": "[1, inf)"},
        **{"weight_decay": "[0, inf)", "weight_drop": "[0, 1)", "average": "[0, 1)"},
        **{"init_scale": "[0, inf)", "samples": "[0, inf)", "dynamic": "[0, inf)"},
    }
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"dynamic"})

    steps: int = 2000
    """updates in total with --epochs 0; a resumed run goes on up to here"""
    lr: float = 7e-3
    """learning rate"""
    layers: int = 1
    """recurrent layers, one on another"""
    hidden: int = 208
    """width H of each layer"""
    bptt: int = 35
    """steps T of a chunk, where the gradient is cut (also --seq-len)"""
    lanes: int = 20
    """lanes B, texts read side by side (also --batch-size)"""
    dropout: float = 0.5
    """share of the activations dropped between layers and before the output"""
    log_every: int = 10
    """steps between two lines of metrics"""
    eval_every: int = 500
    """steps between two evaluations, with --epochs 0"""
    save_every: int = 500
    """steps between two checkpoints, with --epochs 0"""
    sample_length: int = 60
    """words in each sample"""
    preset: Literal["own", "zaremba-small", "zaremba-medium", "zaremba-large"] = "own"
    """a recipe that sets all of what follows; flags beside it change it"""
    alphabet: Literal["words", "spaces"] = "words"
    """words and marks, or what stands between white space, as PTB and WikiText are written"""
    split: Literal["tail"] = "tail"
    """what is held out: the last part of the corpus"""
    valid_file: str = ""
    """a file that validates, instead of a part of the corpus"""
    test_file: str = ""
    """a file that is scored once at the end, instead of a part of the corpus"""
    vocabulary: int = 10_000
    """words V: the unknown one, and the most frequent of the training text"""
    sentences: bool = False
    """each line is a sentence: it begins afresh, ends with its line, and gets its log p(s)"""
    embed: int = 0
    """size of a word's embedding; 0 is --hidden"""
    embed_dropout: float = 0.3
    """share of the embedded words' numbers that is dropped"""
    locked: bool = True
    """drop a unit for a whole chunk or not at all (variational dropout)"""
    weight_drop: float = 0.4
    """share of the entries of each W_hh that are dropped, anew at each update"""
    tied: bool = True
    """the output's table of words is the embedding"""
    loss: Loss = "sampled"
    """what trains the output; its perplexity is exact whatever it is"""
    samples: int = 0
    """words that stand for all in sampled losses; 0 is 1,250 of them, at most a quarter of V and
    at least a twentieth"""
    sparse: bool = False
    """touch only the rows of the tables that a step needs (--average 0, --devices 1)"""
    optimizer: Literal["adam", "sgd", "adagrad"] = "adam"
    """what makes updates of gradients"""
    summed: bool = False
    """take the loss summed over a chunk's steps, as Zaremba's recipe does, not its mean"""
    epochs: int = 26
    """passes over the training text, evaluated after each, instead of --steps; 0 is off"""
    cosine: bool = True
    """the rate falls to zero along a cosine over --epochs"""
    lr_decay: float = 1.0
    """factor on the learning rate after each epoch from --decay-after on"""
    decay_after: int = 4
    """epochs at the full learning rate"""
    weight_decay: float = 0.1
    """share of the weights, times the learning rate, that Adam takes off at each step (AdamW)"""
    init_scale: float = 0.0
    """draw every weight from plus or minus this; 0 takes each layer's own"""
    average: float = 0.99
    """evaluate and keep a moving average of the weights with this decay; 0 is off"""
    dynamic: float = 0.0
    """rate at which the best weights go on learning from the text they are scored on; 0 is off"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparse and (self.average or self.devices != "1" or self.weight_drop):
            raise BadInput("--sparse goes with --average 0 --weight-drop 0 --devices 1; give these")
        if self.samples and self.loss not in _DRAWN:
            raise BadInput(f"--samples goes with --loss {', '.join(_DRAWN)}; give --samples 0")
        if self.optimizer != "adam" and self.weight_decay:
            raise BadInput("--weight-decay goes with --optimizer adam; give --weight-decay 0")
