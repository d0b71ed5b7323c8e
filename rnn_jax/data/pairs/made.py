"""Pairs made by rule, which need no data: sums, reversals, dates; programs are in programs.py.

Every maker is ``(rng, size) -> Pair``.
"""

from collections.abc import Callable
from datetime import date as day_of
from datetime import timedelta
from random import Random
from typing import NamedTuple

from rnn_jax.data.pairs.core import Pair
from rnn_jax.data.pairs.programs import program
from rnn_jax.errors import BadInput

_MONTHS = "January February March April May June July August September October November December"
MONTHS = tuple(_MONTHS.split())
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TRIES = 20  # in a row that bring nothing new: then all there is has been made


def addition(rng: Random, size: int) -> Pair:
    """``"27+935" -> "962"``: two numbers of 1 to `size` digits each, without leading zeros."""
    a, b = (rng.randrange(10 ** rng.randint(1, size)) for _ in range(2))
    return Pair(f"{a}+{b}", str(a + b))


def reversal(rng: Random, size: int) -> Pair:
    """``"40917" -> "71904"``: 1 to `size` digits."""
    digits = "".join(rng.choices("0123456789", k=rng.randint(1, size)))
    return Pair(digits, digits[::-1])


def date(rng: Random, size: int) -> Pair:
    """``"Tuesday, 3rd of March 1987" -> "1987-03-03"``: a day in one of 9 ways of writing it.

    size: the number of years, from 1950 on. Numbers alone are day, month, year with points or
    strokes, and year first with hyphens.
    """
    first = day_of(1950, 1, 1)
    day = first + timedelta(rng.randrange((day_of(1950 + size, 1, 1) - first).days))
    year, month, of_month = day.year, day.month, day.day
    weekday, name = DAYS[day.weekday()], MONTHS[month - 1]
    ways = (
        f"{of_month} {name} {year}",
        f"{name} {of_month}, {year}",
        f"{of_month} {name[:3]} {year}",
        f"{weekday}, {_ordinal(of_month)} of {name} {year}",
        f"{weekday[:3]} {of_month} {name[:3].lower()} {year}",
        f"{_ordinal(of_month)} of {name.lower()}, {year}",
        f"{of_month}.{month}.{year}",
        f"{of_month:02}/{month:02}/{year}",
        f"{year}-{month}-{of_month}",
    )
    return Pair(rng.choice(ways), day.isoformat())


def _ordinal(n: int) -> str:
    ending = "th" if n in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


class Maker(NamedTuple):
    """How pairs of a kind are made, the usual and the largest size, and what the size counts."""

    make: Callable[[Random, int], Pair]
    size: int
    most: int
    counts: str


MAKERS = {
    "addition": Maker(addition, 3, 9, "digits of each number"),
    "reversal": Maker(reversal, 12, 100, "digits"),
    "dates": Maker(date, 100, 1000, "years from 1950 on"),
    "programs": Maker(program, 3, 6, "operations in a program"),
}


def make(name: str, count: int, size: int, seed: int) -> list[Pair]:
    """So many pairs of a kind, no source twice; fewer where there are not so many.

    size: 0 is the kind's usual one.
    """
    maker = MAKERS[name]
    if size > maker.most:
        raise BadInput(f"--size {size}: {name} goes up to {maker.most} {maker.counts}")
    rng = Random(seed)
    pairs: dict[str, Pair] = {}
    missed = 0
    while len(pairs) < count and missed < _TRIES * (len(pairs) + 1):
        pair = maker.make(rng, size or maker.size)
        missed = missed + 1 if pair.source in pairs else 0
        pairs[pair.source] = pair
    return list(pairs.values())
