"""Lanes over devices: data parallelism by `jax.pmap`, in this file alone.

The whole state lies on every device (in and out axes of None), so neither it nor a checkpoint has a
device axis; only lanes are dealt out, B/D to each of the D devices of all processes.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
from jax import lax

from rnn_jax import ordered
from rnn_jax.errors import BadInput
from rnn_jax.train import Metrics, TrainState

AXIS = "devices"


def choose(asked: str, lanes: int, *, invariant: bool = False) -> tuple[int, str | None]:
    """How many devices of each process to use, and a line to say aloud where that was left open.

    asked: a number, or "all" for the largest number of local devices that will do. BadInput where
    there are fewer devices, or where the devices of all processes do not divide the lanes;
    invariant: the shards into which the lanes are cut.
    """
    here, processes = jax.local_device_count(), jax.process_count()
    parts = ordered.shards(lanes) if invariant else lanes
    if asked == "all":
        fitting = [n for n in range(1, here + 1) if parts % (n * processes) == 0]
        count = max(fitting, default=1)
        why = "" if count == here else f": {lanes} lanes are not divided by more"
        note = f"{count} of {here} devices{why}"
    else:
        count, note = _given(asked, here), None
    if parts % (count * processes):
        each = f"--devices {count}" + (f" of each of {processes} processes" * (processes > 1))
        cut = f"the {parts} shards into which --invariant cuts {lanes} lanes"
        raise BadInput(
            f"{each} does not divide {cut if invariant else f'{lanes} lanes'};"
            " change --lanes or --devices"
        )
    return count, note


def _given(asked: str, here: int) -> int:
    if not asked.isdecimal() or int(asked) < 1:
        raise BadInput(f"--devices {asked}: give a number from 1 up, or all")
    if int(asked) > here:
        flag = f"XLA_FLAGS=--xla_force_host_platform_device_count={asked}"
        mend = f"; on a CPU, {flag} makes more" if jax.default_backend() == "cpu" else ""
        raise BadInput(f"--devices {asked}: there {'is' if here == 1 else 'are'} only {here}{mend}")
    return int(asked)


def own_lanes(lanes: int) -> slice:
    """Those of B lanes that this process reads."""
    each = lanes // jax.process_count()
    return slice(jax.process_index() * each, (jax.process_index() + 1) * each)


def on_one_device(tree: Any) -> Any:
    """The first device's copy of what lies whole on each, without copying.

    A program given arrays that lie on D devices does its work D times.
    """
    return jax.tree.map(lambda a: a.addressable_data(0), tree)


def placed(state: TrainState, devices: int, *, invariant: bool = False) -> TrainState:
    """A state to begin with, where `on_one_device` finds those that `data_parallel` makes of it.

    A program is compiled for where its arrays were put; what is done with all of them is so
    compiled once.
    """
    if _undivided(devices, invariant):
        return state
    return jax.device_put(state, jax.local_devices()[0])


def _undivided(devices: int, invariant: bool) -> bool:
    """Whether one ordinary program does it; invariant: one device is compiled like several."""
    return devices == 1 and jax.process_count() == 1 and not invariant


@lru_cache(maxsize=16)  # so that JAX traces once for all runs of the same steps
def data_parallel(
    steps: Callable[..., tuple[TrainState, Metrics]], devices: int, *, invariant: bool = False
) -> Callable[..., tuple[TrainState, Metrics]]:
    """``(state, batches, count, key=None) -> (state, metrics)``, lanes over each process's devices.

    steps: as `train.make_steps` makes it; invariant: it adds up shards, and one device must not be
    compiled in another way than several. batches: of `own_lanes`. The state that comes in may be
    used up (donated); it comes out whole on every device.
    """
    if _undivided(devices, invariant):
        return jax.jit(steps, donate_argnums=0)
    return over_devices(steps, devices)


def over_devices(
    steps: Callable[..., tuple[TrainState, Metrics]], devices: int
) -> Callable[..., tuple[TrainState, Metrics]]:
    """`data_parallel` by `jax.pmap`, also where there is one device."""

    def local(state: TrainState, batches: Any, count: Any, key: Any) -> Any:
        each = jax.tree.leaves(state.carry)[0].shape[0] // lax.axis_size(AXIS)
        first = lax.axis_index(AXIS) * each
        own = jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, first, each), state.carry)
        state, metrics = steps(state.replace(carry=own), batches, count, key, AXIS)
        carry = jax.tree.map(lambda a: lax.all_gather(a, AXIS, tiled=True), state.carry)
        return state.replace(carry=carry), metrics

    mapped = jax.pmap(
        *(local, AXIS),
        in_axes=(None, 1, None, None),
        out_axes=None,
        devices=_devices(devices),
    )

    def run(
        state: TrainState, batches: Any, count: Any, key: Any = None
    ) -> tuple[TrainState, Metrics]:
        return mapped(state, jax.tree.map(deal, batches), count, key)

    def deal(a: Any) -> Any:
        return a.reshape(a.shape[0], devices, a.shape[1] // devices, *a.shape[2:])

    return run


def _devices(each: int) -> list[Any]:
    """So many devices of each process, process by process, as lanes are counted."""
    own = [[d for d in jax.devices() if d.process_index == i] for i in range(jax.process_count())]
    return [device for devices in own for device in devices[:each]]
