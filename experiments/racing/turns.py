"""Who runs when, and how long it takes: everybody in turn, in one warm process.

A machine whose speed drifts slows all that take turns, so that ratios stay. Within a turn nobody
collects garbage; before it there is a pause in which the threads of the one before fall asleep
(OpenMP's go on spinning for a while), and one call that is not measured, which brings the caches
back.
"""

import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_WARM_UP, _PAUSE = 3, 0.005  # calls; seconds
_LEAST, _MOST_CALLS = 0.02, 200  # seconds that a turn lasts at least, unless it has as many calls


def order(count: int, turn: int) -> list[int]:
    """Who comes when in this turn, as a permutation of ``range(count)``.

    Williams' square: over ``count`` turns (twice as many where it is odd) everybody comes at every
    place, and after each of the others, equally often (Williams 1949).
    """
    zigzag = [(i + 1) // 2 if i % 2 else -(i // 2) for i in range(count)]
    if count % 2 and turn // count % 2:
        zigzag.reverse()
    return [(place + turn) % count for place in zigzag]


def race(
    runners: Mapping[str, Callable[[], Any]], turns: int, seconds: float = math.inf
) -> dict[str, list[float]]:
    """Milliseconds that one call took in each turn, for everybody.

    A runner returns when its work is done. In a turn it is called again until 20 ms are over, which
    is more than the clock and the dispatch of one call need. After `seconds` no other turn begins,
    but there are always two.
    """
    names, began = list(runners), time.monotonic()
    for runner in runners.values():
        _seconds(runner, _WARM_UP - 1)
    calls = {name: _calls(runner) for name, runner in runners.items()}
    times: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()  # what is there stays, and need not be looked at again before each turn
    try:
        for turn in range(turns):
            if turn >= 2 and time.monotonic() - began > seconds:
                break
            for name in (names[place] for place in order(len(names), turn)):
                times[name].append(_turn(runners[name], calls[name]))
    finally:
        gc.unfreeze()
    return times


def _calls(runner: Callable[[], Any]) -> int:
    return max(1, min(_MOST_CALLS, round(_LEAST / _seconds(runner, 1))))


def _turn(runner: Callable[[], Any], calls: int) -> float:
    gc.collect()
    time.sleep(_PAUSE)
    gc.disable()
    try:
        runner()
        return _seconds(runner, calls) / calls * 1e3
    finally:
        gc.enable()


def _seconds(runner: Callable[[], Any], calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        runner()
    return time.perf_counter() - began


def median(times: Sequence[float]) -> float:
    """The median to four digits, as rows have it."""
    return rounded(statistics.median(times))


def rounded(value: float) -> float:
    """To four significant digits: no clock here is better."""
    return float(f"{value:.4g}")


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
