"""Backpropagation by hand: the slide's equations, general backpropagation, and the vector RNN."""

import functools
import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import bptt_by_hand
from rnn_jax import cells, layers, losses, models, tasks, train
from rnn_jax.byhand import backprop, picture, scalar, tables, vector
from rnn_jax.errors import BadInput

XS = [0.5, -1.3, 0.8, 2.0, -0.4]
TARGETS = [0.7, -0.2, 0.1, 0.9, 0.4]
T = len(XS)
PHI = {"tanh": jnp.tanh, "logistic": jax.nn.sigmoid, "identity": lambda a: a}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def network(phi):
    return scalar.Network(u=0.9, v=-1.4, w=0.6, phi=phi, h_0=0.35)


def by_hand(net, **options):
    states = scalar.forward(net, XS, TARGETS)
    return states, scalar.backward(net, states, **options)


@functools.partial(jax.jit, static_argnums=0)
@functools.partial(jax.grad, argnums=(1, 2))
def derivatives(phi, weights, nudges, cut, looks):
    """Of the network in JAX by its weights and by nudges [4, T], which are added to z, h, r and y,
    so that their bars are theirs too. cut, looks: of each step; numbers, to be one program a phi.
    """
    (u, v, w, h), phi, total = weights, PHI[phi], 0.0
    for t in range(T):
        h = jnp.where(cut[t], jax.lax.stop_gradient(h), h)
        h = phi(u * XS[t] + w * h + nudges[0, t]) + nudges[1, t]
        y = phi(v * h + nudges[2, t]) + nudges[3, t]
        total += looks[t] * (y - TARGETS[t]) ** 2 / 2
    return total


def by_jax(net, chunk=0, looks=(1.0,) * T):
    cut = [bool(chunk and t and t % chunk == 0) for t in range(T)]
    weights = (net.u, net.v, net.w, net.h_0)
    return derivatives(net.phi, weights, np.zeros((4, T)), np.array(cut), np.array(looks))


def close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("phi", "chunk"), list(itertools.product(PHI, (0, 1, 2, T))))
def test_every_bar_is_jaxs_derivative(phi, chunk):
    net = network(phi)
    _, bars = by_hand(net, chunk=chunk)
    want, nudges = by_jax(net, chunk)
    close((bars.u, bars.v, bars.w, bars.h[0]), want)
    close([bars.z[1:-1], bars.h[1:-1], bars.r[1:-1], bars.y[1:-1]], nudges)


@pytest.mark.parametrize("phi", PHI)
def test_the_three_weights_bars_are_finite_differences(phi):
    net, e = network(phi), 1e-5
    _, bars = by_hand(net)
    for name in "uvw":
        up, down = (
            sum(scalar.forward(net._replace(**{name: value}), XS, TARGETS).loss[1:])
            for value in (getattr(net, name) + e, getattr(net, name) - e)
        )
        assert getattr(bars, name) == pytest.approx((up - down) / (2 * e), rel=1e-7)


def test_the_sum_for_w_includes_the_start_and_nothing_after_the_end():
    net = network("tanh")
    states = scalar.forward(net, XS[:1], TARGETS[:1])
    bars = scalar.backward(net, states)
    assert bars.z[2] == 0 and bars.w == bars.z[1] * net.h_0 != 0


def test_a_loss_that_looks_at_the_last_step_alone_is_many_to_one():
    net, looks = network("logistic"), [0.0] * (T - 1) + [1.0]
    _, bars = by_hand(net, looks=looks)
    want, _ = by_jax(net, looks=looks)
    close((bars.u, bars.v, bars.w, bars.h[0]), want)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_what_a_chunks_edge_keeps_is_the_truncated_gradient(chunk):
    net = network("tanh")
    states, bars = by_hand(net)
    _, cut = by_hand(net, chunk=chunk)
    whole, kept = scalar.terms(net, states), scalar.terms(net, states, chunk)
    for name in "uw":
        terms, stay = np.array(getattr(whole, name)), np.array(getattr(kept, name))
        gone = np.array([[tables.dropped(s, t, chunk) for t in range(T)] for s in range(T)])
        close(terms.sum(), getattr(bars, name))
        close(np.where(gone, 0, terms).sum(), getattr(cut, name))
        assert (stay[gone] == 0).all() and (terms[gone & np.tri(T, dtype=bool)] != 0).all()
        close(stay[~gone], terms[~gone])
    assert cut.v == bars.v, "v's terms stay within a step, and none is dropped"


def test_inputs_and_targets_are_one_a_step():
    with pytest.raises(ValueError, match="2 inputs and 5 targets"):
        scalar.forward(network("tanh"), XS[:2], TARGETS)


@pytest.mark.parametrize(("phi", "chunk"), list(itertools.product(PHI, (0, 2))))
def test_general_backpropagation_finds_every_bar_again(phi, chunk):
    net = network(phi)
    states, bars = by_hand(net, chunk=chunk)
    graph = backprop.unrolled(net, XS, TARGETS, chunk)
    values = backprop.forward(graph)
    found = {
        node.name: bar
        for node, bar in zip(graph, backprop.backward(graph, values), strict=True)
        if node.name != "stop"
    }
    close(values[-1], sum(states.loss[1:]))
    assert found["L"] == 1
    for name in "uvw":
        close(found[name], getattr(bars, name))
    for name, t in itertools.product("zhry", range(1, T + 1)):
        close(found[f"{name}({t})"], getattr(bars, name)[t])
    close(found["h(0)"], bars.h[0])


def test_the_sum_over_children_is_the_sum_over_time():
    graph = backprop.unrolled(network("tanh"), XS, TARGETS)
    names = [node.name for node in graph]
    for weight, uses in (("u", "z"), ("w", "z"), ("v", "r")):
        children = [n.name for n in graph if names.index(weight) in n.parents]
        assert children == [f"{uses}({t})" for t in range(1, T + 1)]
    assert all(p < i for i, node in enumerate(graph) for p in node.parents), "parents come first"


def every_primitive(a, b):
    c = jnp.tanh(a * a) / jnp.exp(b) - jnp.sin(a) * jnp.cos(b) + jnp.log(b) ** 3
    return jax.jit(lambda d: jnp.square(-d) + jax.nn.sigmoid(d) + jax.lax.stop_gradient(d) * a)(c)


def test_general_backpropagation_on_a_traced_function_is_jaxs_gradient():
    graph = backprop.from_function(every_primitive, 0.7, 1.9)
    values = backprop.forward(graph)
    bars = backprop.backward(graph, values)
    value, slopes = jax.jit(jax.value_and_grad(every_primitive, (0, 1)))(0.7, 1.9)
    close(values[-1], value)
    close(bars[:2], slopes)
    traced = {node.operation for node in graph}
    unused = {name for name, operation in backprop.OPERATIONS.items() if operation not in traced}
    assert unused <= {"convert_element_type"}, "every derivative in the table is tried"


@pytest.mark.parametrize(
    ("f", "told"),
    [
        (lambda a: jnp.arctan2(a, 2.0), "no derivative for the primitive atan2; there are copy"),
        (lambda a: jnp.sum(a * jnp.ones(3)), r"makes float64\[3\]"),
        (lambda a: a * jnp.round(a).astype(int), "round"),
        (lambda a: a * (a > 0), r"gt makes bool\[\]; the graph has real scalars only"),
    ],
)
def test_a_graph_that_cannot_be_made_is_refused_by_name(f, told):
    with pytest.raises(BadInput, match=told):
        backprop.from_function(f, 0.3)


@pytest.mark.parametrize("fast", [None, False])
def test_the_vector_rnn_by_hand_is_the_librarys_model(fast):
    steps, B, X, H, V = 6, 2, 3, 4, 5
    random = np.random.default_rng(1)
    w = vector.Weights(
        *(random.normal(size=shape) for shape in ((X, H), (H, H), (H,), (H, V), (V,)))
    )
    xs, h_0 = random.normal(size=(steps, B, X)), random.normal(size=(B, H))
    targets = random.integers(0, V, (steps, B))
    states = vector.forward(w, xs, targets, h_0)
    model = models.recurrent(models.stack(cells.vanilla(X, H), fast=fast), layers.dense(H, V))

    def theirs(w, h_0):
        layer = {"W_xh": w.W_xh, "W_hh": w.W_hh, "b_h": w.b_h}
        params = {"layers": (layer,), "out": {"W_hy": w.W_hy, "b_y": w.b_y}}
        batch = tasks.Batch(xs.swapaxes(0, 1), targets.T)
        return train.summed_loss(model, losses.cross_entropy, params, (h_0,), batch, None)[0]

    value, want = jax.jit(jax.value_and_grad(theirs, (0, 1)))(w, h_0)
    close(states.loss, value)
    jax.tree.map(close, vector.backward(w, xs, targets, states), want)


def main(capsys, tmp_path, *flags):
    status = bptt_by_hand.main([*flags, "--out", str(tmp_path / "run")])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_experiment_prints_every_bar_and_all_ways_agree(capsys, tmp_path):
    status, out, err = main(capsys, tmp_path, "--length", "4", "--chunk", "3", "--w", "0.5")
    told = json.loads(out)
    assert status == 0 and told["value"] < 1e-12 < 1e-9 < told["baseline"]
    assert told["digest"] is None and told["tokens_per_second"] is None and told["step"] == 0
    assert {p.name for p in (tmp_path / "run").iterdir()} == {*bptt_by_hand.FILES}
    config = bptt_by_hand.Config(length=4, w=0.5)
    net, xs, targets = bptt_by_hand.example(config)
    bars = scalar.backward(net, scalar.forward(net, xs, targets))
    assert net.w == 0.5 and told["gradient"] == {"u": bars.u, "v": bars.v, "w": bars.w}
    assert told["truncated"]["w"] != bars.w
    printed = (tmp_path / "run" / "tables.txt").read_text()
    assert printed.strip() in err and "(3 of 10 terms)" in printed
    # ȳ, r̄, h̄ and z̄ at t = 1 … T, and of t = 0 what there is
    shown = printed.split("Backward")[1].split("The whole")[0].splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in shown if line.strip()}
    for t in range(1, 5):
        want = [bars.y[t], bars.r[t], bars.h[t], bars.z[t]]
        np.testing.assert_allclose([float(a) for a in rows[str(t)][:4]], want, rtol=0.06, atol=6e-5)
    assert rows["5"] == ["0.0000"] and len(rows["0"]) == 2


def test_the_difference_that_is_reported_is_the_largest():
    found = {"jax.grad": (1.0, 2.0, 4.0)}
    assert bptt_by_hand.difference((1.0, 2.0, 3.0), found) == 1
    assert bptt_by_hand.difference((1.5, 0.0, 4.0), found) == 2


def test_a_wrong_vector_gradient_shows_in_the_difference(monkeypatch):
    assert bptt_by_hand.vector_difference(0) < 1e-12
    right = vector.backward

    def wrong(*given):
        bars, h_0 = right(*given)
        return bars._replace(W_hh=bars.W_hh + 0.5), h_0

    monkeypatch.setattr(vector, "backward", wrong)
    assert bptt_by_hand.vector_difference(0) == pytest.approx(0.5)


def test_the_unrolled_picture_has_every_node_edge_value_and_bar():
    net = network("tanh")
    states, bars = by_hand(net)
    figure = picture.unrolled(net, XS, TARGETS)
    (axes,) = figure.axes
    texts = [text.get_text().replace("−", "-") for text in axes.texts]
    for name, t in itertools.product("zhry", range(1, T + 1)):
        value, bar = getattr(states, name)[t], getattr(bars, name)[t]
        at = texts.index(f"{value:.3g}")
        assert texts[at + 1] == f"{bar:.3g}"
    for name in "uvw":
        at = texts.index(f"{getattr(net, name):.3g}")
        assert texts[at + 1] == f"{getattr(bars, name):.3g}"
    gids = {patch.get_gid() for patch in axes.patches} - {None}
    uses = {f"{w}-to-{to}({t})" for w, to in ("uz", "wz", "vr") for t in range(1, T + 1)}
    assert {*uses, "h(0)-to-z(1)", "h(4)-to-z(5)", "y(5)-to-L"} <= gids
    assert picture.files(net, XS * 3, TARGETS * 3) == {}, "too long to be read"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--length 0", "--length 0: must be at least 1 and at most 100"),
        ("--w nan", "--w nan: must be a finite number"),
        ("--u inf", "--u inf: must be a finite number"),
        ("--chunk -1", "--chunk -1: must be at least 0"),
        ("--activation relu", "expected one of tanh, logistic, identity"),
        ("--activation identity --u 1e200 --v 1e200", "the network overflows; give smaller"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(capsys, tmp_path, flags, told):
    status, out, err = main(capsys, tmp_path, *flags.split())
    assert (status, out) == (2, "") and told in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_chunk_as_long_as_the_sequence_drops_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "files", lambda *_: {})  # drawing takes longer than all else
    monkeypatch.setattr(tables, "terms_picture", lambda *_: b"")
    status, out, err = main(capsys, tmp_path, "--length", "3", "--chunk", "3")
    told = json.loads(out)
    assert status == 0 and told["gradient"] == told["truncated"] and "(0 of 6 terms)" in err


@pytest.mark.quick
def test_quick_finds_the_same_gradients(capsys, tmp_path):
    status, out, _ = main(capsys, tmp_path, "--quick")
    assert status == 0 and json.loads(out)["value"] < 1e-12


def test_logistic_is_finite_far_out():
    assert scalar.PHI["logistic"].value(-800.0) == 0 and scalar.PHI["logistic"].slope(800.0) == 0
    assert math.isclose(scalar.PHI["logistic"].value(0.3), 1 / (1 + math.exp(-0.3)), rel_tol=1e-15)
