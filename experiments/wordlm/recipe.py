"""A word model's settings as what `fit` trains."""

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

from experiments.wordlm.settings import WordSettings

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import optax

    from rnn_jax.data.text import Corpus
    from rnn_jax.models import WordNetwork
    from rnn_jax.recipe import Recipe


def model_spec(config: WordSettings) -> dict[str, Any]:
    """What `models.from_spec` builds the model from when the run is opened."""
    names = ("vocabulary", "cell", "hidden", "layers", "embed", "dropout", "embed_dropout")
    names += ("locked", "tied", "loss", "init_scale")
    return {"builder": "word_model", "arguments": {name: getattr(config, name) for name in names}}


def network(config: WordSettings, corpus: "Corpus") -> "WordNetwork":
    """The same model, to be trained: its samples follow the training text's frequencies."""
    import numpy as np

    from rnn_jax import models

    counts = np.bincount(corpus.train.targets, minlength=config.vocabulary)
    V, arguments = config.vocabulary, model_spec(config)["arguments"]
    samples = config.samples or max(1, min(V // 4, 1250), V // 20)
    return models.word_network(**arguments, samples=samples, counts=counts)


def recipe(config: WordSettings, corpus: "Corpus") -> "Recipe":
    """Network, task and optimizer."""
    from rnn_jax import fit, layers, losses, tasks

    net = network(config, corpus)
    task = tasks.next_token(corpus, config.lanes, config.bptt)
    return fit.Recipe(
        model=net.trained,
        task=task._replace(loss=losses.loss_of(net.output)),
        optimizer=optimizer(config, task.chunks),
        seed=config.seed,
        average=config.average,
        noise=partial(layers.weight_drop, rate=config.weight_drop) if config.weight_drop else None,
        needed=net.needed if config.sparse else None,
    )


def by_epochs(config: WordSettings, chunks: int) -> WordSettings:
    """The same with --steps, --eval-every and --save-every as --epochs says."""
    if not config.epochs:
        return config
    steps = {"steps": config.epochs * chunks, "eval_every": chunks, "save_every": chunks}
    return dataclasses.replace(config, **steps)


def optimizer(config: WordSettings, chunks: int) -> "optax.GradientTransformation":
    """Clipping, then SGD, Adam or Adagrad at `rate`."""
    import optax

    from rnn_jax import descent

    at = rate(config, chunks)
    inner = {
        "sgd": lambda: optax.sgd(at),
        "adam": lambda: optax.adamw(at, weight_decay=config.weight_decay, mask=descent.matrices),
        "adagrad": lambda: optax.adagrad(at),
    }[config.optimizer]()
    # A gradient of the sum over T steps is T times that of their mean; --clip bounds what is asked.
    scale = optax.scale(config.bptt) if config.summed else optax.identity()
    return optax.chain(scale, descent.clipping(config.clip), inner)


def rate(config: WordSettings, chunks: int) -> "optax.Schedule":
    """Learning rate by step: a factor an epoch from --decay-after on, times a cosine."""
    from rnn_jax import descent

    horizon = config.epochs * chunks if config.cosine else 0
    decay = {"factor": config.lr_decay, "after": config.decay_after, "epoch": chunks}
    return descent.falling(config.lr, **decay, horizon=horizon)
