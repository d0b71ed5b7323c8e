"""Learning to execute: short programs, and what they print (Zaremba and Sutskever 2014).

A program is Python and can be run; here its value is kept as it is written, and a test runs it.
"""

from random import Random

from rnn_jax.data.pairs.core import Pair

_NAMES = "abcdefgh"


class _Program:
    """A program as it grows: the lines before the expression, the expression and its value."""

    def __init__(self, rng: Random) -> None:
        self.rng, self.lines, self.names = rng, [], iter(_NAMES)
        self.value = self.number()
        self.text = str(self.value)

    def number(self, low: int = 1, high: int = 100) -> int:
        return self.rng.randrange(low, high)

    def variable(self) -> str:
        """The expression put into a variable, whose name is now the expression."""
        name = next(self.names)
        self.lines.append(f"{name}={self.text}")
        return name

    def add(self) -> None:
        n = self.number()
        sign = self.rng.randrange(2)
        self.text = f"({self.text}{'+-'[sign]}{n})"
        self.value += -n if sign else n

    def multiply(self) -> None:
        n = self.number(2, 10)
        self.text, self.value = f"({self.text}*{n})", self.value * n

    def assign(self) -> None:
        n, name = self.number(), self.variable()
        self.text, self.value = f"({name}+{n})", self.value + n

    def choose(self) -> None:
        a, b, n = self.number(), self.number(), self.number()
        self.text = f"({self.text} if {a}>{b} else {n})"
        self.value = self.value if a > b else n

    def loop(self) -> None:
        n, times, name = self.number(), self.number(2, 6), self.variable()
        self.lines.append(f"for i in range({times}):{name}+={n}")
        self.text, self.value = name, self.value + times * n


_OPERATIONS = ("add", "multiply", "assign", "choose", "loop")


def program(rng: Random, size: int) -> Pair:
    """``"a=61\\nfor i in range(3):a+=7\\nprint((a-4))" -> "78"``: 1 to `size` operations.

    An operation adds or takes away a number below 100, multiplies by one below 10, goes through a
    variable, chooses, or loops. The level is the number of operations.
    """
    level = rng.randint(1, size)
    made = _Program(rng)
    for operation in rng.choices(_OPERATIONS, k=level):
        getattr(made, operation)()
    return Pair("\n".join([*made.lines, f"print({made.text})"]), str(made.value), level)
