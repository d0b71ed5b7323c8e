"""The sentences of the experiment: read or generated, checked, numbered."""

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from rnn_jax.errors import BadInput

if TYPE_CHECKING:  # JAX is imported inside the functions, so that --help answers at once
    import numpy as np

    from experiments.sentiment import Config
    from rnn_jax.data.labelled import Labelled
    from rnn_jax.data.text import Vocabulary

GENERATED = 5000  # sentences of the grammar


class Data(NamedTuple):
    """The sentences by part (test may be missing), their vocabulary and classes."""

    parts: dict[str, "Labelled"]
    vocabulary: "Vocabulary"
    classes: list[str]

    def truth(self, part: str) -> "np.ndarray":
        """The classes' numbers [N]."""
        return self.parts[part].classes(self.classes)

    def record(self) -> dict[str, Any]:
        """Of the manifest."""
        from rnn_jax.data import tables

        columns = [column for part in self.parts.values() for column in part[1:]]
        sizes = {name: len(part.labels) for name, part in self.parts.items()}
        description = self.parts["train"].name
        return {"description": description, **sizes, "digest": tables.digest(*columns)}


def read(config: "Config") -> Data:
    """The sentences, checked; a line about them on stderr."""
    from rnn_jax.data.text import Vocabulary

    train, valid = _learned_and_held_out(config)
    parts = {"train": train, "valid": valid}
    if config.test_data:
        parts["test"] = _from_table(config, config.test_data, "--test-data")
    classes = sorted(set(train.labels))
    if len(classes) < 2:
        raise BadInput(f"{train.name} has the one class {classes}: give --data with two or more")
    vocabulary = Vocabulary.of_words([w for text in train.texts for w in text], config.least)
    data = Data(parts, vocabulary, classes)
    sizes = ", ".join(f"{len(data.truth(name)):,} {name}" for name in parts)
    told = f"{train.name}: {sizes}; {len(vocabulary):,} words; classes {', '.join(classes[:9])}"
    print(told, file=sys.stderr)
    return data


def _learned_and_held_out(config: "Config") -> "tuple[Labelled, Labelled]":
    """What --valid-data names is held out; else whole films of the snippets, else some rows."""
    import numpy as np

    from rnn_jax.data import labelled, opinions, synthetic
    from rnn_jax.data.snippets import snippets

    rng = synthetic.generator(config.seed, 0, held_out=True)
    valid = None
    if config.data == "snippets":
        train, valid = snippets(config.valid, rng, config.longest)
    elif config.data:
        train = _from_table(config, config.data, "--data")
    else:
        made = opinions.opinions(GENERATED, rng)
        train = labelled.labelled("generated opinions", *made, config.longest)
    if config.valid_data:
        return train, _from_table(config, config.valid_data, "--valid-data")
    if valid is not None:
        return train, valid
    rows = rng.permutation(len(train.labels))
    cut = max(1, int(config.valid * len(rows)))
    parts = train.take(np.sort(rows[cut:])), train.take(np.sort(rows[:cut]))
    labelled.check_known(train.name, *(set(part.labels) for part in parts))
    return parts


def _from_table(config: "Config", entry: str, flag: str) -> "Labelled":
    from rnn_jax.data.labelled import read_labelled

    return read_labelled(entry, flag, config.text, config.label, config.longest)
