"""What an experiment can be told, what of it makes a run, and the folder that follows from it."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from rnn_jax.errors import BadInput
from rnn_jax.urls import checked

_LONGEST_TITLE = 80  # characters of a default folder's name


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """What every experiment can be told, also one that trains nothing by steps.

    A field is a flag, its docstring the flag's help. ``RANGES``, ``NOT_IDENTITY`` and ``ALIASES``
    of a subclass add to those of its bases.
    """

    RANGES: ClassVar[Mapping[str, str]] = {  # field: interval, written as in mathematics
        "seed": "[0, 4294967296)",
    }
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset(("quick", "out"))  # may change on resuming
    ALIASES: ClassVar[Mapping[str, str]] = {}  # a flag's other name: its field

    quick: bool = False
    """a small setting that learns something checkable in under a minute"""
    seed: int = 0
    """where all randomness comes from"""
    out: str = ""
    """the run's folder; if empty runs/NAME-<changed flags>"""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """What every experiment that trains by steps can be told besides."""

    RANGES: ClassVar[Mapping[str, str]] = {
        "steps": "[1, inf)",
        "lr": "(0, inf)",
        "clip": "[0, inf)",
        "log_every": "[1, inf)",
        "eval_every": "[1, inf)",
        "save_every": "[1, inf)",
        "patience": "[0, inf)",
        "max_skipped": "[0, inf)",
    }
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset(
        ("steps", "devices", "log_every", "eval_every", "save_every")
        + ("distributed", "coordinator", "processes", "process_id")
        + ("patience", "max_skipped", "tensorboard", "checkpoints")
    )

    steps: int
    """updates in total: a run that is resumed goes on up to here"""
    lr: float
    """learning rate"""
    clip: float = 1.0
    """largest norm of the gradient; 0 is off"""
    devices: str = "1"
    """how many devices (of each process) share the lanes: a number, or all"""
    invariant: bool = False
    """the same bits on any number of devices, for some speed"""
    distributed: bool = False
    """be one of several processes; where SLURM or a TPU pod says which, no more flags are needed"""
    coordinator: str = ""
    """where process 0 is to be found, HOST:PORT (--distributed)"""
    processes: int | None = None
    """how many there are (--distributed)"""
    process_id: int | None = None
    """which this is, from 0 (--distributed)"""
    log_every: int
    """steps between two rows of metrics"""
    eval_every: int
    """steps between two evaluations"""
    save_every: int
    """steps between two checkpoints"""
    patience: int = 0
    """stop after so many evaluations in a row without a better one; 0: go on to --steps"""
    max_skipped: int = 20
    """updates in a row that may be skipped because a number is not finite; 0 is no limit"""
    tensorboard: bool = False
    """write the metrics for TensorBoard too, into OUT/tensorboard (pip install tensorboard)"""
    checkpoints: str = ""
    """gs://BUCKET/PATH of the checkpoints; if empty OUT (pip install gcsfs google-cloud-storage)"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch("all|[1-9][0-9]*", self.devices):
            raise BadInput(f"--devices {self.devices}: must be a number from 1 up, or all")
        checked(self.checkpoints)
        for name in ("coordinator", "processes", "process_id"):
            if getattr(self, name) not in ("", None) and not self.distributed:
                raise BadInput(f"{flag(name)} goes with --distributed; give both, or neither")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurrentSettings(Settings):
    """What every recurrent network can be told besides."""

    RANGES: ClassVar[Mapping[str, str]] = {
        "layers": "[1, inf)",
        "hidden": "[1, inf)",
        "bptt": "[1, inf)",
        "lanes": "[1, inf)",
        "dropout": "[0, 1)",
    }
    ALIASES: ClassVar[Mapping[str, str]] = {"--seq-len": "bptt", "--batch-size": "lanes"}

    cell: str = "lstm"
    """the recurrent cell: a name, or module:constructor"""
    layers: int
    """recurrent layers, one on another"""
    hidden: int
    """width H of a layer"""
    bptt: int
    """steps T of a chunk; the gradient stops at its edge (also --seq-len)"""
    lanes: int
    """lanes B, the texts read side by side (also --batch-size)"""
    dropout: float = 0.0
    """share of the activations dropped between layers and before the read-out"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSettings(CommonSettings):
    """Which text is read and what of it is held out; goes beside any of the others."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"valid": "(0, 0.5]", "test": "[0, 0.5]", "pieces": "[258, 65536]"},
    }

    corpus: tuple[str, ...] = ()
    """text files (UTF-8, also .gz), hub:NAME or package:NAME/PATH; if none Python's own library"""
    column: str = "text"
    """the column of a hub data set that holds the text"""
    alphabet: Literal["characters", "words", "bytes", "bpe", "unigram"] = "characters"
    """what one symbol is; bpe and unigram: pieces of words (pip install tokenizers regex)"""
    pieces: int = 4096
    """symbols that bpe and unigram have, of which 256 are bytes, so that nothing is unknown"""
    segmenter: Literal["", "jieba"] = ""
    """what cuts a language without spaces into words (--alphabet words, pip install jieba)"""
    split: Literal["tail", "streams"] = "tail"
    """what is held out: the last part of the corpus, or char-rnn's streams"""
    valid: float = 0.1
    """part of the text that validates; char-rnn's streams have their own"""
    test: float = 0.0
    """last part of the text, scored once at the end by the best weights (--split tail)"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageSettings(TextSettings, RecurrentSettings):
    """What every recurrent language model can be told besides."""


def gathered(config_class: type, name: str) -> Any:
    """A class's own RANGES, ALIASES or NOT_IDENTITY joined with those of its bases."""
    parts = [vars(base)[name] for base in reversed(config_class.__mro__) if name in vars(base)]
    if name == "NOT_IDENTITY":
        return frozenset().union(*parts)
    return {key: value for part in parts for key, value in part.items()}


def flag(field: str) -> str:
    """The flag of a field."""
    return "--" + field.replace("_", "-")


def check_ranges(settings: Any) -> None:
    """Raise BadInput for the first field that lies outside its interval in ``RANGES``."""
    for name, interval in gathered(type(settings), "RANGES").items():
        value = getattr(settings, name)
        low, high = (float(edge) for edge in interval[1:-1].split(","))
        closed_low, closed_high = interval[0] == "[", interval[-1] == "]"
        above = value >= low if closed_low else value > low
        below = value <= high if closed_high else value < high
        if not (above and below):  # true of NaN as well
            must = f"{'at least' if closed_low else 'above'} {low:.10g}"
            if high < math.inf:
                must += f" and {'at most' if closed_high else 'below'} {high:.10g}"
            raise BadInput(f"{flag(name)} {value}: must be {must}")


def identity(config: CommonSettings) -> dict[str, Any]:
    """The fields that make a run this run and no other, as JSON would give them back."""
    leave_out = gathered(type(config), "NOT_IDENTITY")
    names = [field.name for field in dataclasses.fields(config) if field.name not in leave_out]
    return json.loads(json.dumps({name: getattr(config, name) for name in names}))


def folder(name: str, config: CommonSettings, quick: Mapping[str, Any]) -> Path:
    """``--out``, or ``runs/NAME-field=value…`` of what differs from the experiment's defaults.

    Two identities never share a folder: where the name cannot show every value whole (a path, a
    capital, which some file systems fold, too many fields) it ends in ``~`` and a digest.
    """
    if config.out:
        return Path(config.out)
    ours = identity(config)
    usual = identity(dataclasses.replace(type(config)(), **(quick if config.quick else {})))
    title, whole = f"{name}-quick" if config.quick else name, True
    for field, value in ours.items():
        if value != usual[field]:
            text, exact = _shown(value)
            title, whole = f"{title}-{field}={text}", whole and exact
    if len(title) > _LONGEST_TITLE or not whole:
        digest = hashlib.sha256(json.dumps(ours).encode()).hexdigest()[:8]
        title = f"{title[: _LONGEST_TITLE - 9]}~{digest}"
    return Path("runs", title)


def _shown(value: Any) -> tuple[str, bool]:
    """A value as part of a folder's name, and whether no other value looks the same."""
    if value is None or isinstance(value, bool | int | float):
        return str(value).lower(), True
    if isinstance(value, list):
        return ",".join(_shown(item)[0] for item in value), False
    text = str(value)
    if "/" in text or "." in text:  # a path is shown by its stem
        text = Path(text).name.split(".")[0]
    safe = re.sub(r"[^a-z0-9._-]+", "_", text.lower())
    return safe, safe == value
