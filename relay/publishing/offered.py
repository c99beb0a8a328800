"""A port inside that is published: its sockets on the host, and what has become of them."""

from dataclasses import dataclass, field

import trio

from relay.publishing.on_host import OnHost


@dataclass(eq=False)
class Offered:
    """One published port."""

    port: int
    """Inside."""
    on_host: OnHost
    is_asked: bool = False
    """Whether it was asked for: it is listened at whether or not anybody serves it."""
    is_told: bool = False
    """Whether the record says that it is published."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Ends the wait for connections."""
    connections: int = 0
    """That have reached the server."""
    refused: int = 0
    """That have not."""
