"""A model's units over a text, and how well one of them, or all, tell what is true of it."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

_RIDGE = 1e-3  # of the features' variance


class Told(NamedTuple):
    """How a label is told, measured on the second half of a text, chosen on the first.

    unit: the column of the features that goes with it best; name: of it; r: its correlation; area:
    under the ROC curve of the unit, or of its negative, as the first half has it; None where the
    label has more than two values; probe: the share of the label's variance that a linear read-out
    of all units explains; untrained: r of the best unit of a network with random weights.
    """

    unit: int
    name: str
    r: float
    area: float | None
    probe: float
    untrained: float | None = None


def features(model: Any, W: Any, tokens: "np.ndarray") -> tuple["np.ndarray", list[str]]:
    """Every unit of the carry after each token [N, U], and what each is in the carry."""
    import jax
    import numpy as np

    start, names = jax.eval_shape(lambda W: model.start(W, 1), W), []
    for path, leaf in jax.tree_util.tree_flatten_with_path(start)[0]:
        names += [f"carry{jax.tree_util.keystr(path)} unit {i}" for i in range(leaf.size)]
    return np.asarray(_reader(model)(W, tokens), np.float64), names


@lru_cache(maxsize=4)  # the trained and the untrained network are read by one program
def _reader(model: Any) -> Callable[[Any, "np.ndarray"], Any]:
    """``(W, tokens [N]) -> units [N, U]``."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def run(W: Any, tokens: Any) -> Any:
        def body(carry: Any, token: Any) -> tuple[Any, Any]:
            carry, _ = model.apply(W, carry, token[None, None])
            return carry, [leaf[0].reshape(-1) for leaf in jax.tree.leaves(carry)]

        return jnp.concatenate(jax.lax.scan(body, model.start(W, 1), tokens)[1], axis=1)

    return run


def tell(values: "np.ndarray", names: Sequence[str], label: "np.ndarray") -> Told | None:
    """The unit of values [N, U] that tells the label [N] best; None where a half has one value."""
    import numpy as np

    half = len(label) // 2
    first, second = label[:half], label[half:]
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    chosen = correlations(values[:half], first)
    unit = int(np.abs(chosen).argmax())
    r = float(correlations(values[half:, unit : unit + 1], second)[0])
    area = None
    if len(np.unique(label)) == 2:
        area = roc(np.sign(chosen[unit]) * values[half:, unit], second > label.min())
    return Told(unit, names[unit], r, area, probed(values, label))


def correlations(values: "np.ndarray", label: "np.ndarray") -> "np.ndarray":
    """Pearson's r of each column of values [N, U] with the label [N]; 0 for a constant one."""
    import numpy as np

    a, b = values - values.mean(0), label - label.mean()
    scale = np.sqrt((a * a).sum(0) * (b * b).sum())
    return np.where(scale > 0, a.T @ b / np.where(scale > 0, scale, 1), 0)


def roc(values: "np.ndarray", truth: "np.ndarray") -> float:
    """The probability that a true one's value is above a false one's, ties counted half."""
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    true, false = truth.sum(), (~truth).sum()
    return float((ranks[truth].sum() - true * (true + 1) / 2) / (true * false))


def probed(values: "np.ndarray", label: "np.ndarray") -> float:
    """R² on the second half of a ridge regression fitted on the first."""
    import numpy as np

    half = len(label) // 2
    mean, scale = values[:half].mean(0), values[:half].std(0) + 1e-12
    a, b = (values - mean) / scale, label - label[:half].mean()
    gram = a[:half].T @ a[:half] + _RIDGE * half * np.eye(values.shape[1])
    guess = a[half:] @ np.linalg.solve(gram, a[:half].T @ b[:half])
    wrong, spread = b[half:] - guess, label[half:] - label[half:].mean()
    return float(1 - (wrong * wrong).sum() / (spread * spread).sum())


def tell_all(
    model: Any, W: Any, untrained: Any, tokens: "np.ndarray", known: Mapping[str, "np.ndarray"]
) -> tuple[dict[str, Told | None], "np.ndarray"]:
    """`Told` of every label, and the trained model's units [N, U]."""
    values, names = features(model, W, tokens)
    control, _ = features(model, untrained, tokens)
    told = {}
    for name, label in known.items():
        ours, theirs = (tell(each, names, label) for each in (values, control))
        told[name] = ours and ours._replace(untrained=theirs.r)
    return told, values
