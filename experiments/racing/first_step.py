"""A process that trains one step and says when it had done what; `startup` starts it.

    python -m experiments.racing.first_step BEGAN [CELL]

BEGAN is the time at which it was started, in seconds since the epoch. Without CELL it ends after
the import of JAX, which nobody who uses JAX can do without.
"""

import json
import sys
import time


def main(began: str, cell: str = "") -> None:
    """Print seconds since the start, by what they were needed for, as JSON."""
    marks: dict[str, float] = {}

    def mark(what: str) -> None:
        marks[what] = time.time() - float(began)

    mark("python")
    import jax  # noqa: F401  its time is what is measured

    mark("import jax")
    if cell:
        from experiments.racing import charlm, training

        mark("import rnn_jax")
        recipe = charlm.recipe(charlm.Sizes(cell, 2, 128, 50, 50), 0)
        trainer = training.trainer(recipe, training.compiled(recipe))
        mark("first weights")
        trainer.advance(1)
        mark("first step")
        trainer.advance(1)
        mark("second step")
    print(json.dumps(marks))


if __name__ == "__main__":
    main(*sys.argv[1:])
