"""What `experiments.sample` can be told."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

import tyro

from experiments import cli
from rnn_jax.errors import BadInput


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Which run, how it starts, how it draws or searches."""

    RANGES: ClassVar[Mapping[str, str]] = {
        **{"length": "[1, inf)", "temperature": "(0, inf)", "top_k": "[0, inf)"},
        **{"top_p": "(0, 1]", "samples": "[1, inf)", "seed": "[0, 4294967296)"},
        **{"beams": "[0, 10000]", "length_penalty": "[-100, 100]", "block": "[0, inf)"},
    }

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """the run's folder"""
    prompt: str = ""
    """how the text begins; if empty, after a newline (after the first symbol if there is none)"""
    prompts: str = ""
    """a file whose lines are prompts, all written on side by side"""
    interactive: bool = False
    """read prompts from the terminal, a line each; an empty one goes on where the last text ends"""
    length: int = 500
    """symbols to write after the prompt, at most"""
    stop: tuple[str, ...] = ()
    """end a text before any of these strings"""
    temperature: float = 1.0
    """divides the logits: below 1 safer, above 1 wilder"""
    top_k: int = 0
    """draw among the k most probable symbols only; 0 is off"""
    top_p: float = 1.0
    """draw among the most probable symbols that make up this much of the probability; 1 is off"""
    greedy: bool = False
    """always take the most probable symbol"""
    block: int = 0
    """never write the same so many symbols in a row twice; 0 is off"""
    samples: int = 1
    """texts to write after each prompt; with --beams the best that were found"""
    beams: int = 0
    """search for the most probable texts with so many at a time, instead of drawing; 0 is off"""
    length_penalty: float = 0.0
    """with --beams: log p is divided by ((5 + symbols) / 6) to this power; 0 is off"""
    seed: int = 0
    """where the draws come from"""
    step: str = "best"
    """whose weights: best, latest, or the number of a step that was saved"""
    log_probs: bool = False
    """also print every written symbol with its log-probability (nats) to stderr"""
    json: bool = False
    """print one line of JSON a text: prompt, text, symbols, log_prob (nats), score, log_probs"""
    trust: bool = False
    """let the run import the module of its own cell"""

    def __post_init__(self) -> None:
        cli.check_ranges(self)
        if not re.fullmatch("best|latest|[0-9]+", self.step):
            raise BadInput(f"--step {self.step}: must be best, latest or a number")
        for name, text in [("prompt", self.prompt), *(("stop", stop) for stop in self.stop)]:
            if re.search("[\ud800-\udfff]", text):
                raise BadInput(f"--{name} is no UTF-8 text: check the terminal's encoding")
        if "" in self.stop:
            raise BadInput("--stop is empty; give at least one character, or leave it out")
        if self.prompts and (self.prompt or self.interactive):
            raise BadInput("--prompts goes without --prompt and --interactive; choose one")
        self._check_search()

    def _check_search(self) -> None:
        drawing = self.greedy or self.top_k or self.top_p < 1 or self.temperature != 1
        if self.beams and drawing:
            raise BadInput("--beams searches and does not draw: leave out what is for drawing")
        if self.beams and self.samples > self.beams:
            raise BadInput(f"--samples {self.samples}: must be at most --beams {self.beams}")
        if self.length_penalty and not self.beams:
            raise BadInput("--length-penalty goes with --beams; give both, or neither")

    def saved_step(self) -> int | str:
        """--step as `rnn_jax.run.open` takes it."""
        return int(self.step) if self.step.isdecimal() else self.step
