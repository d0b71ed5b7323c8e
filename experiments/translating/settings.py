"""What `experiments.translation` can be told."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

from experiments import cli
from experiments.cli.settings import flag
from rnn_jax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSettings(cli.CommonSettings):
    """Which pairs are read, and as which symbols."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"valid": "(0, 0.5]", "test": "(0, 0.5]", "pairs": "[10, inf)", "size": "[0, inf)"},
        **{"least": "[1, inf)", "longest": "[1, inf)"},
    }

    data: tuple[str, ...] = ("addition",)
    """addition, reversal, dates, programs, french; two aligned files; a table; or hub:NAME"""
    valid_data: tuple[str, ...] = ()
    """pairs that validate, given as --data is; if none a share of --data"""
    test_data: tuple[str, ...] = ()
    """pairs for the test at the end, given as --data is; if none a share of --data"""
    source: str = "source"
    """the column of a table that is read"""
    target: str = "target"
    """the column of a table that is to be written"""
    valid: float = 0.02
    """share of --data that validates where there is no --valid-data"""
    test: float = 0.02
    """share of --data for the test where there is no --test-data"""
    pairs: int = 50_000
    """how many pairs are made, of those that are made by rule"""
    size: int = 0
    """how large they are: digits of a number, operations of a program, years; 0 is the usual"""
    alphabet: Literal["auto", "characters", "words"] = "auto"
    """what one symbol is; auto: words of files and tables, characters of what is made by rule"""
    least: int = 2
    """words that come less often are unknown"""
    longest: int = 100
    """most symbols of a source or a target"""
    skip: bool = False
    """leave out pairs that are empty or too long, where they would be refused"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslationSettings(PairSettings, cli.Settings):
    """Which network, how it learns, how it writes."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"layers": "[1, inf)", "hidden": "[2, inf)", "embed": "[1, inf)", "lanes": "[1, inf)"},
        **{"dropout": "[0, 1)", "smoothing": "[0, 1)", "average": "[0, 1)", "buckets": "[1, inf)"},
        **{"own": "[0, 1]", "ramp": "[0, inf)", "curriculum": "[0, inf)"},
        **{"beams": "[1, inf)", "length_penalty": "[0, inf)", "coverage": "[0, inf)"},
    }
    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"beams", "length_penalty", "coverage"})
    ALIASES: ClassVar[Mapping[str, str]] = {"--batch-size": "lanes"}

    cell: str = "gru"
    """the recurrent cell: a name, or module:constructor"""
    layers: int = 1
    """recurrent layers of encoder and decoder each"""
    hidden: int = 128
    """width H of the decoder; the encoder has half of it in each direction"""
    embed: int = 64
    """size of the symbols' embeddings; the decoder's is also its read-out"""
    attention: Literal["none", "dot", "general", "additive"] = "general"
    """how the decoder looks at the source; none: it has the encoder's vector alone"""
    lanes: int = 128
    """pairs B in a batch (also --batch-size)"""
    buckets: int = 5
    """lengths that batches have; each is a program to compile"""
    dropout: float = 0.0
    """share dropped of embeddings, between layers and before the read-out"""
    half: bool = False
    """multiply for the read-out in bfloat16: faster where there are many words"""
    smoothing: float = 0.0
    """part of the target's probability that is spread over all symbols"""
    average: float = 0.99
    """evaluate and keep a moving average of the weights with this decay; 0 is off"""
    own: float = 0.0
    """share of steps that read what was written, not the truth: 0 forces, 1 runs free"""
    ramp: int = 0
    """updates over which --own grows from 0 to what it is"""
    curriculum: int = 0
    """updates after which the next harder level of programs opens; 0 opens all at once"""
    beams: int = 5
    """texts that beam search keeps; 1 is greedy alone"""
    length_penalty: float = 1.0
    """exponent of the length that a text's log p is divided by"""
    coverage: float = 0.0
    """how much a beam's text loses for places of the source that it has not looked at; 0 is off"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("data", "valid_data", "test_data"):
            given = getattr(self, name)
            if len(given) > 2 or (name == "data" and not given):
                raise BadInput(f"{flag(name)} takes a name, a table or two files: see --help")
        if self.coverage and self.attention == "none":
            raise BadInput("--coverage counts where a text has looked: give it with an --attention")
        if self.curriculum and self.data != ("programs",):
            raise BadInput("--curriculum goes with --data programs; the others have no levels")
