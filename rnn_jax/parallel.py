"""Lanes over devices: data parallelism by `jax.pmap`, in this file alone.

Parameters stay whole (in and out axes of None), so nothing is replicated by hand and neither the
state nor a checkpoint has a device axis; only lanes are dealt out, B/D to each device.
"""

from collections.abc import Callable
from typing import Any

import jax

from rnn_jax.errors import BadInput
from rnn_jax.train import Metrics, TrainState

AXIS = "devices"


def choose(asked: str, lanes: int) -> tuple[int, str | None]:
    """How many devices to use, and a line to say aloud where the number was left open.

    asked: a number, or "all" for the largest number of local devices that divides the lanes.
    BadInput where there are fewer devices, or the number does not divide the lanes.
    """
    here = jax.local_device_count()
    if asked == "all":
        count = max(n for n in range(1, here + 1) if lanes % n == 0)
        why = "" if count == here else f": {lanes} lanes are not divided by more"
        return count, f"{count} of {here} devices{why}"
    if not asked.isdecimal() or int(asked) < 1:
        raise BadInput(f"--devices {asked}: give a number from 1 up, or all")
    count = int(asked)
    if count > here:
        flag = f"XLA_FLAGS=--xla_force_host_platform_device_count={count}"
        mend = f"; on a CPU, {flag} makes more" if jax.default_backend() == "cpu" else ""
        raise BadInput(f"--devices {count}: there {'is' if here == 1 else 'are'} only {here}{mend}")
    if lanes % count:
        raise BadInput(
            f"--devices {count} does not divide {lanes} lanes; change --lanes or --devices"
        )
    return count, None


def on_one_device(tree: Any) -> Any:
    """The first device's copy of what lies whole on each, without copying.

    A program given arrays that lie on D devices does its work D times.
    """
    return jax.tree.map(lambda a: a.addressable_data(0), tree)


def data_parallel(
    steps: Callable[..., tuple[TrainState, Metrics]], devices: int
) -> Callable[..., tuple[TrainState, Metrics]]:
    """``(state, batches, count, key=None) -> (state, metrics)``, lanes over `devices` devices.

    steps: as `train.make_steps` makes it. The state that comes in may be used up (donated).
    """
    if devices == 1:
        return jax.jit(steps, donate_argnums=0)

    def local(shared: TrainState, carry: Any, batches: Any, count: Any, key: Any) -> Any:
        state, metrics = steps(shared.replace(carry=carry), batches, count, key, AXIS)
        return state.replace(carry=()), state.carry, metrics

    mapped = jax.pmap(
        local,
        AXIS,
        in_axes=(None, 0, 1, None, None),
        out_axes=(None, 0, None),
        devices=jax.local_devices()[:devices],
    )

    def deal(tree: Any, axis: int) -> Any:
        def split(a: Any) -> Any:
            shape = a.shape
            return a.reshape(*shape[:axis], devices, shape[axis] // devices, *shape[axis + 1 :])

        return jax.tree.map(split, tree)

    def run(
        state: TrainState, batches: Any, count: Any, key: Any = None
    ) -> tuple[TrainState, Metrics]:
        shared, carry, metrics = mapped(
            state.replace(carry=()), deal(state.carry, 0), deal(batches, 1), count, key
        )
        gathered = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), carry)
        return shared.replace(carry=gathered), metrics

    return run
