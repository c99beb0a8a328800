"""What failed, and what a person can do about it; pure."""


class SandboxError(Exception):
    """The namespace could not be made; `hint` is the next step, one line."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep cause and next step apart, so that each is printed on a line of its own."""
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Give the cause alone; the hint is printed beside it."""
        return self.message
