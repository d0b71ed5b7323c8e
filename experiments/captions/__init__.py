"""Pictures and their captions: what `captioning` reads, what it writes, its contact sheet."""

from experiments.captions.data import BEGIN, END, Captioned, Data, make_task, read
from experiments.captions.sheet import contact_sheet
from experiments.captions.written import bleu, mistakes, written

__all__ = [
    "BEGIN",
    "END",
    "Captioned",
    "Data",
    "bleu",
    "contact_sheet",
    "make_task",
    "mistakes",
    "read",
    "written",
]
