"""Tasks: what is read, what is asked, where the loss looks.

core.py has `Batch` and `Task`, text.py reads a text on and on, examples.py reads sequences that
each stand alone, in buckets of lengths, pairs.py a source and writes its target.

A task of your own, from a file to a trained model. Here mine.csv has a row for every step, with a
column "sequence", a column "label" and any number of others, which are the input; for another kind
of file write another `batch`:

    import dataclasses
    from pathlib import Path

    import optax

    from experiments import cli
    from rnn_jax import fit, losses, models, run, tasks
    from rnn_jax.data import buckets, frames

    data = frames.read_sequences("mine.csv", "--data", "sequence", "label", ())
    names = data.classes()
    truth = data.truth(names)

    def batch(rows, width):
        inputs, mask = buckets.pad(data.inputs, rows, width)
        return tasks.Batch(inputs, buckets.pad(truth, rows, width)[0], mask=mask)

    mine = tasks.Examples(data.lengths(), batch)
    task = tasks.bucketed(mine, mine, losses.cross_entropy, lanes=8, seed=0)
    sizes = {"shape": data.inputs[0].shape[1:], "classes": len(names), "hidden": 16}
    spec = {"builder": "frame_model", "arguments": sizes}
    config = cli.Settings(steps=120, lr=0.02, log_every=10, eval_every=60, save_every=60)
    recipe = fit.Recipe(models.from_spec(spec), task, optax.adam(config.lr), config.seed)
    manifest = run.new_manifest("mine", dataclasses.asdict(config), ["lr", "seed"], model=spec)
    fit.fit(Path("runs/mine"), manifest, recipe, config)
    opened = run.open("runs/mine")
"""

from rnn_jax.tasks.core import Batch, Task
from rnn_jax.tasks.examples import Examples, bucketed
from rnn_jax.tasks.pairs import curriculum, feeding_back, free_running, own, pair_examples
from rnn_jax.tasks.text import held_out, next_token

__all__ = [
    "Batch",
    "Examples",
    "Task",
    "bucketed",
    "curriculum",
    "feeding_back",
    "free_running",
    "held_out",
    "next_token",
    "own",
    "pair_examples",
]
