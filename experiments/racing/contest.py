"""Who may race, and what becomes a row.

Nobody races who computes something else: outputs and gradients on the same weights must be ours, to
a relative 1e-4 in float32 (the largest difference of an array over its largest entry).
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.racing.turns import median, race, rounded

TOLERANCE = 1e-4

Values = Mapping[str, np.ndarray]


class Entrant(NamedTuple):
    """One that races: `run` does the work and returns when it is done.

    values: what the work comes to, by the same names and in the same layout for everybody.
    """

    run: Callable[[], Any]
    values: Callable[[], Values]


def difference(ours: Values, theirs: Values) -> str | None:
    """What they have otherwise than we, in words; None where all is the same."""
    if ours.keys() != theirs.keys():
        return f"has {', '.join(theirs)}, not {', '.join(ours)}"
    for name, a in ours.items():
        b = np.asarray(theirs[name])
        if a.shape != b.shape:
            return f"{name} is {b.shape}, not {a.shape}"
        off = np.abs(np.asarray(a, np.float64) - b).max() / max(np.abs(a).max(), 1e-30)
        if not off <= TOLERANCE:  # true of NaN as well
            return f"{name} differs by {off:.1e} of its largest entry, not {TOLERANCE:.0e}"
    return None


def agreeing(
    ours: Entrant, peers: Mapping[str, Callable[[], Entrant | None]]
) -> tuple[dict[str, Entrant], dict[str, str]]:
    """The peers that compute what we do, and why the others may not race.

    A peer that makes no entrant has no such cell. One that fails does not end everybody's races.
    """
    kept, refused, values = {}, {}, ours.values()
    for name, make in peers.items():
        try:
            entrant = make()
            why = None if entrant is None else difference(values, entrant.values())
        except Exception as error:  # code from elsewhere may fail in any way
            entrant, why = None, f"fails: {' '.join(str(error).split())[:200]}"
        if why:
            print(f"  {name} may not race: {why}", file=sys.stderr)
            refused[name] = why
        elif entrant is not None:
            kept[name] = entrant
    return kept, refused


def contest(
    ours: Entrant,
    peers: Mapping[str, Callable[[], Entrant | None]],
    turns: int,
    seconds: float,
    *,
    limit: Callable[[], Any] | None = None,
    units: int = 1,
) -> dict[str, Any]:
    """A row: the medians of everybody who agrees with us, their minima, and how we stand.

    turns, seconds: as in `race`; limit: the machine's own, which takes turns with the others;
    units: what one call does so many of, and times are for one.
    """
    kept, refused = agreeing(ours, peers)
    runners = {"ours": ours.run} | {name: peer.run for name, peer in kept.items()}
    if limit is not None:
        runners["products"] = limit
    measured = race(runners, turns, seconds)
    times = {name: [t / units for t in each] for name, each in measured.items()}
    return row(times) | ({"refused": refused} if refused else {})


def row(times: Mapping[str, list[float]]) -> dict[str, Any]:
    """Medians and minima in milliseconds.

    ratio: the fastest peer's median over ours, above 1 we are ahead; of_products: ours over the
    machine's limit.
    """
    medians = {name: median(each) for name, each in times.items()}
    minima = {name: rounded(min(each)) for name, each in times.items()}
    ours, products = medians.pop("ours"), medians.pop("products", None)
    made = {"ours_ms": ours, "peers": medians, "min_ms": minima, "turns": len(times["ours"])}
    if products is not None:
        made |= {"products_ms": products, "of_products": rounded(ours / products)}
    if medians:
        best = min(medians, key=medians.__getitem__)
        made |= {"best_peer": best, "ratio": rounded(medians[best] / ours)}
    return made
