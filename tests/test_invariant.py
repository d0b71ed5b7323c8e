"""With --invariant a run has the same bits on 1, 2, 4 and 8 devices, also where they change."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import char_lm
from rnn_jax import models, ordered
from rnn_jax.digest import digest
from rnn_jax.errors import BadInput
from rnn_jax.losses import cross_entropy
from rnn_jax.parallel import choose, data_parallel
from rnn_jax.recipe import Recipe
from rnn_jax.tasks import Batch, Task

TEXT = "to be, or not to be: that is the question. " * 40
SMALL = (
    *("--cell", "tanh", "--layers", "1", "--hidden", "5", "--embed", "3", "--bptt", "4"),
    *("--lanes", "8", "--dropout", "0.3", "--log-every", "1"),
    *("--eval-every", "1000", "--save-every", "3", "--sample-length", "1", "--invariant"),
)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture(scope="module")
def alone(text, tmp_path_factory):
    """A run of seven steps on one device."""
    return train(text, tmp_path_factory.mktemp("alone") / "run", 1, 7)


def train(text, out, devices, steps):
    flags = ["--corpus", text, "--out", str(out), "--devices", str(devices), "--steps", str(steps)]
    assert char_lm.main([*SMALL, *flags]) == 0
    return history(out)


def history(out):
    """All that a run has recorded: losses and gradients' norms, and the digest of every leaf."""
    names = ("metrics.jsonl", "digests.jsonl")
    return [json.loads(line) for name in names for line in (out / name).read_text().splitlines()]


def test_a_run_is_the_same_on_four_devices_to_the_bit(text, alone, tmp_path):
    assert train(text, tmp_path / "run", 4, 7) == alone
    assert len(alone) == 7 + 3


@pytest.mark.optimised  # there a process has eight devices
def test_a_run_is_the_same_on_eight_devices_to_the_bit(text, alone, tmp_path):
    assert train(text, tmp_path / "run", 8, 7) == alone


def test_saved_on_four_devices_it_goes_on_with_one_and_then_two(text, alone, tmp_path):
    for devices, steps in ((4, 3), (1, 5), (2, 7)):
        found = train(text, tmp_path / "run", devices, steps)
    rows = [row for row in found if "loss" in row]
    # Each command ends with an evaluation and a save; what all have in common is compared.
    assert [row | {"valid": 0} for row in rows] == [
        row | {"valid": 0} for row in alone if "loss" in row
    ]
    digests = [{row["step"]: row for row in told if "leaves" in row} for told in (found, alone)]
    assert digests[0].items() >= digests[1].items() and len(digests[0]) == 4


SENTENCE = {"vocabulary": 11, "classes": 2, "cell": "tanh", "hidden": 6, "embed": 5, "both": False}


def read(rng):
    """Eight sentences of up to seven words, each with its class."""
    words, there = rng.integers(0, 11, (8, 7)), np.arange(7) < rng.integers(1, 8, (8, 1))
    weights = np.ones((8, 1), np.float32)
    return Batch(words, rng.integers(0, 2, (8, 1)), weights, there)


def translated(rng):
    """Seven words from each of eight contexts of five."""
    words = rng.integers(0, 11, (8, 8))
    there = np.arange(5) < rng.integers(1, 6, (8, 1))
    context = {"tokens": rng.integers(0, 11, (8, 5)), "mask": there}
    return Batch(words[:, :-1], words[:, 1:], context=context)


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("model", "drawn"),
    [
        pytest.param(models.sentence_model(**SENTENCE), read, id="over a sentence"),
        pytest.param(
            *(models.translator(11, 11, hidden=6, embed=5), translated),
            **{"id": "of words to a context", "marks": pytest.mark.soak},
        ),
    ],
)
def test_attention_is_the_same_on_two_devices_to_the_bit(model, drawn):
    """A softmax divides by a sum, which XLA compiles otherwise where it partitions a program."""
    batch = drawn(np.random.default_rng(0))
    task = Task(lambda position: batch, lambda: (), cross_entropy, 8, 1, 8)
    recipe = Recipe(model, task, optax.sgd(0.1), seed=0)
    ends = []
    for devices in (1, 2):
        advance = data_parallel(recipe.steps(invariant=True), devices, invariant=True)
        batches = jax.tree.map(lambda a: a[None], batch)
        ends.append(digest(advance(recipe.start(), batches, np.int32(1), recipe.key())[0].params))
    assert ends[0] == ends[1]


@pytest.mark.optimised
@pytest.mark.soak
def test_without_it_the_bits_depend_on_the_devices(text, tmp_path):
    """Else the tests above would prove nothing."""
    ends = []
    for devices in (1, 4):
        flags = ["--corpus", text, "--out", str(tmp_path / f"{devices}"), "--devices", f"{devices}"]
        assert char_lm.main([*SMALL, "--no-invariant", "--steps", "7", *flags]) == 0
        ends.append(history(tmp_path / f"{devices}")[-1]["digest"])
    assert ends[0] != ends[1]


def test_shards_are_a_power_of_two_that_divides_the_lanes():
    lanes = (1, 2, 3, 4, 6, 8, 12, 50, 96)
    assert [ordered.shards(n) for n in lanes] == [1, 2, 1, 4, 2, 8, 4, 2, 8]
    assert choose("all", 12, invariant=True)[0] == 4
    assert choose("all", 6, invariant=True)[0] == 2
    with pytest.raises(
        BadInput, match="does not divide the 2 shards into which --invariant cuts 6"
    ):
        choose("3", 6, invariant=True)


def test_sums_are_those_of_a_fixed_tree_and_what_is_a_lanes_own_stays_in_order():
    """((0 + 1) + (2 + 3)), each an own sum of two lanes; as a Python loop has them."""
    lanes = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)

    def f(part):
        return part.sum(), 2 * part

    summed = jax.jit(partial(ordered.summed, f), static_argnums=(1, 2))
    total, own = summed(jnp.asarray(lanes), 4, None, jnp.int32(1))
    parts = [np.asarray(jax.jit(jnp.sum)(lanes[i : i + 2])) for i in range(0, 8, 2)]
    want = (parts[0] + parts[1]) + (parts[2] + parts[3])
    assert np.asarray(total) == want
    np.testing.assert_array_equal(own, 2 * lanes)
