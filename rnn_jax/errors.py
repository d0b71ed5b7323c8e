"""What ends a command early: what the user can mend, and a signal."""


class BadInput(Exception):
    """Input that cannot be used; the message is one line that says why and names the mend.

    Command lines print it after ``error:`` and exit with status 2, without a traceback; it is
    raised before anything is written.
    """


class Stopped(Exception):
    """A signal asked the run to stop and it has been saved; exit with status 128 + number."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped at step {step}; the same command goes on from there")
        self.number = number
