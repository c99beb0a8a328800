"""What liveness and the network watch see of an upstream connection, whoever uses it."""

import socket
from typing import Protocol


class Line(Protocol):
    """An upstream connection that stands."""

    number: int
    """In the flight log."""
    reached: str
    """The address of its other end."""
    retire_after: float
    """Seconds of silence after which it is closed, if it may be retired; usually inf."""

    @property
    def port(self) -> int:
        """The port of its other end."""

    @property
    def sock(self) -> socket.socket | None:
        """Its socket; None once upstream has closed, and while another one is dialled."""

    @property
    def asked(self) -> float:
        """When something was last sent, on trio's clock."""

    @property
    def answered(self) -> float:
        """When something was last received."""

    @property
    def may_retire(self) -> bool:
        """Whether both sides could go on, and upstream has spoken."""

    def lose(self, error: OSError) -> None:
        """Take note that it is lost, which the kernel has not noticed yet."""

    def retire(self, cause: str) -> None:
        """Close it, idle as it is."""
