"""Graphs read off the jaxpr, their drawings, and the model they claim to be of."""

import json
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import graphs as experiment
from rnn_jax import cells, drawings, graphs, losses, plots, tasks, train

X, H, V = 5, 7, 5  # an output may be the next input
T = 3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def example(plan, *made):
    made = made or (cells.vanilla(X, H),)
    return drawings.example(plan, made, (X, H, V), 0)


def drawn(name, *made, steps=T, chunk=2):
    plan = drawings.plans(steps, chunk)[name]
    return drawings.graph(plan, example(plan, *made))


def edges_of(*lines):
    """ "a b>c" is the two edges (a, c) and (b, c)."""
    pairs = (line.split(">") for line in lines)
    return {(parent, child.strip()) for parents, child in pairs for parent in parents.split()}


SLIDES = {
    "one_to_one": edges_of("x_1 h1_0 W1.1>h1_1", "h1_1 W_hy1>y_1", "y_1>L_1", "L_1>L"),
    "one_to_many": edges_of(
        *("x_1 h1_0 W1.1>h1_1", "y_1 h1_1 W1.1>h1_2", "y_2 h1_2 W1.1>h1_3"),
        *(f"h1_{t} W_hy1>y_{t}" for t in (1, 2, 3)),
        *("y_1>L_1", "y_2>L_2", "y_3>L_3", "L_1 L_2 L_3>L"),
    ),
    "many_to_one": edges_of(
        *(f"x_{t} h1_{t - 1} W1.1>h1_{t}" for t in (1, 2, 3)),
        *("h1_3 W_hy1>y_3", "y_3>L_3", "L_3>L"),
    ),
    "many_to_many": edges_of(
        *(f"x_{t} h1_{t - 1} W1.1>h1_{t}" for t in (1, 2, 3)),
        *(f"h1_{t} W_hy1>y_{t}" for t in (1, 2, 3)),
        *("y_1>L_1", "y_2>L_2", "y_3>L_3", "L_1 L_2 L_3>L"),
    ),
    "sequence_to_sequence": edges_of(
        *(f"x_{t} h1_{t - 1} W1.1>h1_{t}" for t in (1, 2, 3)),
        *(f"h1_{t - 1} W2.1>h1_{t}" for t in (4, 5, 6)),
        *(f"h1_{t} W_hy2>y_{t}" for t in (4, 5, 6)),
        *("y_4>L_4", "y_5>L_5", "y_6>L_6", "L_4 L_5 L_6>L"),
    ),
}
SLIDES["truncated"] = SLIDES["many_to_many"]


@pytest.mark.parametrize("name", SLIDES)
def test_the_graph_of_the_model_has_the_slides_edges(name):
    graph = drawn(name)
    assert set(graph.edges) == SLIDES[name]
    cut = {edge for edge, flows in graph.edges.items() if not flows}
    assert cut == ({("h1_2", "h1_3")} if name == "truncated" else set())
    order = {node: i for i, node in enumerate(graph.nodes)}
    assert all(order[parent] < order[child] for parent, child in graph.edges)


def test_an_lstm_and_a_cell_without_a_gate_have_the_same_graph():
    for made in (cells.lstm(X, H), cells.cho_gru(X, H)):
        assert set(drawn("many_to_one", made).edges) == SLIDES["many_to_one"]


def test_where_the_loss_looks_decides_what_is_there():
    plan = drawings.Plan("", (True,) * T, (0.0, 2.0, 0.0))
    graph = drawings.graph(plan, example(plan))
    late = {"x_3", "h1_3", "y_1", "y_3", "L_1", "L_3"}
    assert {"x_2", "h1_2", "y_2", "L_2", "L"} <= set(graph.nodes) and not late & set(graph.nodes)


def forgetful(inputs, hidden):
    """A cell that is given h_{t-1} and does not use it."""
    cell = cells.vanilla(inputs, hidden)
    gate = cells.Gate(lambda p, h, z, r: (jnp.tanh(z), ()), lambda w: w["W_hh"])
    return cells.gated(cell.init, cell.start, cell.read, gate)


def test_a_cell_that_ignores_h_has_no_edge_from_it():
    many = drawn("many_to_many", forgetful(X, H))
    assert set(many.edges) == {e for e in SLIDES["many_to_many"] if not e[0].startswith("h1_")} | {
        (f"h1_{t}", f"y_{t}") for t in (1, 2, 3)
    }
    last = drawn("many_to_one", forgetful(X, H))
    assert "x_3" in last.nodes and not {"x_1", "x_2", "h1_2", "h1_0"} & set(last.nodes)


def test_a_learned_start_is_an_edge_from_the_weights_to_h_0():
    graph = drawn("one_to_one", cells.vanilla(X, H, learned_start=True))
    assert set(graph.edges) - SLIDES["one_to_one"] == {("W1.1", "h1_0")}


def test_a_stack_reads_the_layer_below_and_only_the_top_is_read_out():
    graph = drawn("many_to_one", cells.lstm(X, H), cells.vanilla(H, H), steps=2)
    assert set(graph.edges) == edges_of(
        *("x_1 h1_0 W1.1>h1_1", "x_2 h1_1 W1.1>h1_2"),
        *("h1_1 h2_0 W1.2>h2_1", "h1_2 h2_1 W1.2>h2_2"),
        *("h2_2 W_hy1>y_2", "y_2>L_2", "L_2>L"),
    )


def test_no_gradient_comes_back_through_threshold_units():
    graph = drawn("many_to_one", cells.vanilla(X, H, phi="threshold"))
    assert {edge for edge, flows in graph.edges.items() if flows} == edges_of(
        "h1_3 W_hy1>y_3", "y_3>L_3", "L_3>L"
    )


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("sequence_to_sequence", (cells.vanilla(X, H),)),
        ("truncated", (cells.lstm(X, H), cells.lstm(H, H))),
        ("one_to_many", (cells.cho_gru(X, H),)),
        ("truncated", (forgetful(X, H),)),
        ("many_to_one", (cells.vanilla(X, H, phi="threshold"),)),
    ],
)
def test_the_model_at_once_has_the_graphs_paths_and_no_others(name, made):
    plan = drawings.plans(T, 2)[name]
    run = example(plan, *made)
    graph = drawings.graph(plan, run)
    tried, wrong = drawings.paths(plan, run, graph)
    assert tried == 2 * sum(plan.reads) * len(plan.looks) and wrong == 0


def test_an_output_that_is_fed_back_is_a_path_of_its_own():
    """x_1 reaches L_3 through y_2 alone where the cell forgets its state."""
    plan = drawings.plans(T, 2)["one_to_many"]
    run = example(plan, forgetful(X, H))
    graph = drawings.graph(plan, run)
    assert ("y_2", "h1_3") in graph.edges and ("h1_2", "h1_3") not in graph.edges
    assert drawings.paths(plan, run, graph) == (6, 0)
    unfed = {edge: flows for edge, flows in graph.edges.items() if edge != ("y_2", "h1_3")}
    assert drawings.paths(plan, run, graph._replace(edges=unfed))[1] == 2
    seen = ids(plots.svg(graphs.draw(graph, graphs.unrolled(graph), plan.title)))
    assert {"y_1-to-h1_2", "y_2-to-h1_3"} <= seen


def test_a_graph_that_is_not_the_models_is_found_out():
    plan = drawings.plans(T, 2)["truncated"]
    run = example(plan)
    graph = drawings.graph(plan, run)
    without = {edge: flows for edge, flows in graph.edges.items() if edge != ("h1_1", "h1_2")}
    # x_1 no longer leads to L_2 and L_3, and its gradient no longer from L_2.
    assert drawings.paths(plan, run, graph._replace(edges=without))[1] == 3
    uncut = dict.fromkeys(graph.edges, True)
    assert drawings.paths(plan, run, graph._replace(edges=uncut))[1] == 2


def test_the_cut_gradient_is_the_one_that_training_takes():
    plan = drawings.plans(3, 2)["truncated"]
    run = example(plan)

    def total(weights):
        return drawings.at_once(plan, run._replace(weights=weights))(run.xs).sum()

    want = jax.jit(jax.grad(total))(run.weights)[0]
    recorder = optax.GradientTransformation(
        lambda w: jax.tree.map(jnp.zeros_like, w),
        lambda bars, state, w: (jax.tree.map(jnp.zeros_like, bars), bars),
    )
    step = jax.jit(train.make_step(run.model(), losses.cross_entropy, recorder))
    create = jax.jit(lambda W: train.create(run.model(), recorder, W, 2))
    state, got = create(run.weights[0]), jax.tree.map(np.zeros_like, want)
    for begin in (0, 2):
        xs, ks = (a[begin : begin + 2].swapaxes(0, 1) for a in (run.xs, run.targets))
        state, _ = step(state, tasks.Batch(xs, ks))
        got = jax.tree.map(lambda a, b, n=ks.size: a + n * np.asarray(b), got, state.opt_state)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14), got, want)


def test_a_trace_sees_through_calls_and_loops_and_stops_at_what_has_no_slope():
    def f(inputs):
        a, b, k = inputs["a"], inputs["b"], inputs["k"]
        inner = jax.jit(lambda a: graphs.mark(jax.nn.relu(a), "inner"))(a)
        _, rows = jax.lax.scan(lambda c, b: (c + b, c), inner, jnp.stack([b, b]))
        first = graphs.mark(rows[0] * jax.lax.stop_gradient(a), "first")
        token = graphs.mark(jax.nn.one_hot(jnp.argmax(b), 3)[k], "token")
        kept = jnp.where(np.array([True, True]), a[:2], b[:2])
        return graphs.mark(first.sum() + token + kept.sum(), "end")

    graph = graphs.trace(f, {"a": np.ones(3), "b": np.ones(3), "k": np.array(0)})
    assert graph.edges == {
        ("a", "inner"): True,
        # Of a loop's rows over time every one depends on all that goes in.
        ("inner", "first"): True,
        ("b", "first"): True,
        ("a", "first"): False,
        ("b", "token"): False,
        ("k", "token"): False,
        ("first", "end"): True,
        ("token", "end"): True,
        ("a", "end"): True,
    }
    assert graphs.reaches(graph, "b", "end") and graphs.reaches(graph, "b", "end", gradient=True)
    assert graphs.reaches(graph, "k", "end")
    assert not graphs.reaches(graph, "k", "end", gradient=True)
    assert graphs.leading_to(graph, "token").nodes == ("b", "k", "token")


@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_is_traced_in_the_order_in_which_it_runs(reverse):
    def last(inputs):
        def take(carry, first):
            return jnp.where(first, inputs["a"], inputs["b"]), None

        rows = np.array([True, False])
        return graphs.mark(jax.lax.scan(take, jnp.zeros(()), rows, reverse=reverse)[0], "end")

    graph = graphs.trace(last, {"a": np.ones(()), "b": np.ones(())})
    assert set(graph.edges) == {("a" if reverse else "b", "end")}


@pytest.mark.quick
def test_quick_has_no_path_that_is_not_the_models(capsys, tmp_path):
    assert experiment.main(["--quick", "--out", str(tmp_path / "run")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["value"] == 0 and len(told["drawings"]) == 6 and told["tried"] > 50


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("name", SLIDES)
def test_no_two_nodes_overlap(name, layers):
    steps = 4
    nodes = [f"h{i}_{t}" for i in range(1, layers + 1) for t in range(steps + 1)]
    nodes += [f"{kind}_{t}" for kind in "xyL" for t in range(1, steps + 1)]
    weights = [f"W{n}.{i}" for n in (1, 2) for i in range(1, layers + 1)]
    turn = 2 if name == "sequence_to_sequence" else 0
    nodes += [*(w for w in weights if turn or w[1] == "1"), "W_hy2" if turn else "W_hy1", "L"]
    nodes = [n for n in nodes if not (turn and n in ("y_1", "y_2", "L_1", "L_2", "x_3", "x_4"))]
    places = list(graphs.unrolled(graphs.Graph(tuple(nodes), {}), turn).values())
    states = [p for p in places if p.kind == "hidden"]
    boxes = [
        p._replace(kind="function", x=p.x - graphs.STEP) for p in states if "0}" not in p.label
    ]
    both = places + boxes
    for i, a in enumerate(both):
        for b in both[:i]:
            apart = max(abs(a.x - b.x), abs(a.y - b.y))
            assert apart >= graphs.KINDS[a.kind].half + graphs.KINDS[b.kind].half + 0.04, (a, b)


def test_a_name_that_has_no_place_is_refused():
    with pytest.raises(ValueError, match="'z_1' is no name"):
        graphs.unrolled(graphs.Graph(("x_1", "z_1"), {}))


def ids(svg):
    return {e.get("id") for e in ElementTree.fromstring(svg).iter() if e.get("id")}


def test_the_pictures_have_every_node_every_edge_and_every_gradient(capsys, tmp_path):
    flags = ["--drawing", "truncated", "--steps-in-time", "2", "--chunk", "1", "--layers", "2"]
    assert experiment.main([*flags, "--out", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["value"] == 0 and told["tried"] == 8 and told["baseline"] is None
    assert {p.name for p in tmp_path.iterdir()} == {"truncated.svg", "truncated.png"}
    assert (tmp_path / "truncated.png").read_bytes().startswith(b"\x89PNG")
    graph = drawn("truncated", cells.vanilla(X, H), cells.vanilla(H, H), steps=2, chunk=1)
    counts = {"nodes": len(graph.nodes), "edges": len(graph.edges)}
    assert told["drawings"] == {"truncated": counts}
    seen = ids((tmp_path / "truncated.svg").read_text())
    assert set(graph.nodes) <= seen
    boxes = {f"f-h{i}_{t}-to-h{i}_{t}" for i in (1, 2) for t in (1, 2)}
    arrows = {name for name in seen if "-to-" in name and not name.startswith("gradient")}
    assert arrows == boxes | {f"{parent}-to-{child}" for parent, child in graph.edges}
    assert {name for name in seen if name.startswith("gradient")} == {
        f"gradient-{child}-to-{parent}"
        for (parent, child), flows in graph.edges.items()
        if flows and parent[0] not in "Wx"
    }
    assert ("h1_1", "h1_2") in graph.edges and "gradient-h1_2-to-h1_1" not in seen


@pytest.mark.parametrize("phis", [("threshold", "threshold"), ("threshold", "tanh")])
def test_units_without_a_derivative_are_drawn_as_cut_and_not_as_chunks(phis):
    made = [cells.vanilla(x, H, phi=phi) for x, phi in zip((X, H), phis, strict=True)]
    graph = drawn("truncated", *made)
    figure = graphs.draw(graph, graphs.unrolled(graph), "Threshold", gradients=True)
    axes = figure.axes[0]
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert len(dotted) == (3 if phis[1] == "threshold" else 3 + 1)
    assert not any("chunk" in text.get_text() for text in axes.texts)


def test_the_same_graph_is_the_same_picture():
    graph = drawn("one_to_one")
    first, second = (graphs.draw(graph, graphs.unrolled(graph), "One") for _ in range(2))
    assert plots.svg(first) == plots.svg(second) and plots.png(first) == plots.png(second)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--steps-in-time 0", "--steps-in-time 0: must be at least 1"),
        ("--chunk 0", "--chunk 0: must be at least 1"),
        ("--layers 5", "--layers 5: must be at least 1 and at most 4"),
        ("--cell lstmm", "no cell 'lstmm'; use tanh"),
        ("--drawing many", "--drawing many: expected one of all, one_to_one"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(capsys, tmp_path, flags, told):
    out = tmp_path / "run"
    assert experiment.main([*flags.split(), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and told in printed.err and printed.err.count("\n") == 1
    assert not out.exists()
