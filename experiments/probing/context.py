"""How far back a model reads: its loss with so much context, and after its carry was exchanged."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rnn_jax.errors import BadInput

if TYPE_CHECKING:
    import numpy as np


def windows(tokens: "np.ndarray", count: int, before: int, after: int) -> "np.ndarray":
    """`count` stretches of before + after tokens, spread evenly: [before + after, count]."""
    import numpy as np

    room = len(tokens) - before - after
    if room < count:
        need = before + after + count
        raise BadInput(f"the text has {len(tokens)} symbols, {need} are needed; give a longer one")
    starts = np.linspace(0, room, count).astype(int)
    return tokens[starts[None, :] + np.arange(before + after)[:, None]]


def losses(model: Any, W: Any, carry: Any, xs: Any, fresh: Any = None) -> Any:
    """Nats at each step but the last, whose next symbol is not there: [T - 1, B]."""
    from rnn_jax import losses as of

    _, ys = model.apply(W, carry, xs[:-1], fresh=fresh)
    return of.cross_entropy(ys, xs[1:])


def by_context(
    model: Any, W: Any, tokens: "np.ndarray", contexts: Sequence[int], count: int = 512
) -> dict[int, float]:
    """{k: nats of a symbol of which the model has read only the k before it}.

    The symbols asked are the same for every k.
    """
    import jax
    import numpy as np

    longest = max(contexts)
    xs = windows(tokens, count, longest, 1)

    @jax.jit
    def run(W: Any, fresh: Any) -> Any:
        return losses(model, W, model.start(W, count), xs, fresh)[-1].mean()

    steps = np.arange(longest)[:, None]
    return {
        k: float(run(W, np.broadcast_to(steps == longest - k, (longest, count)))) for k in contexts
    }


def exchanges(key: Any, carry: Any, start: Any) -> dict[str, Any]:
    """What replaces the carry: itself, the start, zeros, its units in disorder, another's."""
    import jax
    import jax.numpy as jnp

    def disorder(a: Any) -> Any:
        return jax.random.permutation(key, a, axis=-1)

    return {
        "its own (warm)": carry,
        "the start (cold)": start,
        "zeros": jax.tree.map(jnp.zeros_like, carry),
        "its units shuffled": jax.tree.map(disorder, carry),
        "another text's": jax.tree.map(lambda a: jnp.roll(a, 1, axis=0), carry),
    }


def after_exchange(
    model: Any, W: Any, tokens: "np.ndarray", warm: int, steps: int, count: int = 256, seed: int = 0
) -> dict[str, "np.ndarray"]:
    """Nats at each of `steps` symbols [steps] after the carry, warmed up on `warm`, was exchanged.

    The first symbol is read by the exchanged carry, so the second is the first that is asked.
    """
    import jax
    import numpy as np

    xs = windows(tokens, count, warm, steps + 1)

    @jax.jit
    def warmed(W: Any, key: Any) -> dict[str, Any]:
        start = model.start(W, count)
        return exchanges(key, model.apply(W, start, xs[:warm])[0], start)

    @jax.jit
    def run(W: Any, carry: Any) -> Any:
        return losses(model, W, carry, xs[warm:]).mean(1)

    swapped = warmed(W, jax.random.key(seed))
    return {name: np.asarray(run(W, other), np.float64) for name, other in swapped.items()}
