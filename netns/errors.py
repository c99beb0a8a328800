"""What failed, and what a person can do about it; pure."""

from typing import Final

EXIT_OWN_FAILURE: Final = 125
"""The exit status where keepline has failed and not the command, as env(1) has it."""


class KeeplineError(Exception):
    """The root of all errors that are shown to people: a cause and the next step, a line each."""

    def __init__(self, cause: str, next_step: str) -> None:
        """Keep cause and next step apart, so that each is printed on a line of its own."""
        super().__init__(cause, next_step)
        self.cause = cause
        self.next_step = next_step

    def __str__(self) -> str:
        """Return the cause alone; the next step is printed beside it."""
        return self.cause


class SandboxError(KeeplineError):
    """The namespace could not be made."""
