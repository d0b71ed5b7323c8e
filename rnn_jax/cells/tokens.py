"""Cells that read tokens: through an embedding, or one-hot."""

import jax

from rnn_jax.affine import lookup
from rnn_jax.cells.core import Array, Carry, Cell, Params


def embedded(cell: Cell, vocabulary: int, size: int) -> Cell:
    """`cell` on ``x_t = R[token_t]``: R [V, E] drawn from N(0, 1), tokens of any shape.

    What a cell reads of a token depends on nothing else, so where there are fewer tokens in the
    vocabulary than in the batch the table is read once, ``read(w, R)`` [V, G], and looked up: the
    same function as embedding first, without its product over all steps. `cell` takes vectors of
    size E.
    """

    def init(key: Array) -> Params:
        k_R, k_cell = jax.random.split(key)
        return {"R": jax.random.normal(k_R, (vocabulary, size)), "cell": cell.init(k_cell)}

    def read(w: Params, tokens: Array) -> Array:
        if tokens.size < vocabulary:
            return cell.read(w["cell"], lookup(w["R"], tokens))
        return jax.tree.map(lambda z: lookup(z, tokens), cell.read(w["cell"], w["R"]))

    def start(w: Params, lanes: int) -> Carry:
        return cell.start(w["cell"], lanes)

    def step(w: Params, carry: Carry, z: Array) -> tuple[Carry, Array]:
        return cell.step(w["cell"], carry, z)

    gate = cell.gate
    if gate is not None:
        matrix, bias, vectors = gate.matrix, gate.bias, gate.vectors
        gate = gate._replace(
            matrix=lambda w: matrix(w["cell"]),
            bias=bias and (lambda w: bias(w["cell"])),
            vectors=lambda w: vectors(w["cell"]),
        )
    return Cell(init, start, read, step, gate)


def one_hot(cell: Cell, vocabulary: int) -> Cell:
    """`cell` on one-hot vectors, which a token stands for: only the first weights differ.

    A one-hot vector is ``sqrt(V)`` times shorter than the vector of V numbers of unit size that
    an initial W_xh is drawn for; without making up for it the cell hardly hears its input, and
    learns more slowly at first. Cells that keep no W_xh under that name stay as they are.
    """

    def init(key: Array) -> Params:
        w = cell.init(key)
        if isinstance(w, dict) and "W_xh" in w:
            return w | {"W_xh": w["W_xh"] * vocabulary**0.5}
        return w

    return cell._replace(init=init)
