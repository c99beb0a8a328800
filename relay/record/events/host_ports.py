"""The events of the host's loopback: which of its ports are open, and what was refused."""

from relay.record.events.base import CountedEvent, Event


class HostPortOpened(Event):
    """A port of the host's loopback can be reached from inside from now on."""

    port: int
    source: str
    """Who has opened it: a flag, a variable, a file and line."""
    last: int = 0
    """Of ports that were opened together; 0 if it is one."""

    @property
    def ports(self) -> str:
        """PORT or FIRST-LAST."""
        return f"{self.port}-{self.last}" if self.last else f"{self.port}"

    def text(self) -> str:
        """Return it as a line for people."""
        several = "s" if self.last else ""
        return f"port{several} {self.ports} of the host's loopback opened by {self.source}"


class HostPortClosed(Event):
    """A port of the host's loopback can be reached no longer: who was served there has ended."""

    port: int
    source: str
    """Who had opened it."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"port {self.port} of the host's loopback closed: {self.source}"


class LoopbackRefused(CountedEvent):
    """A program dialled 127.0.0.0/8, where nobody listens inside the namespace, or the host.

    It could have reached the host's own server if its port were open.
    """

    address: str
    port: int
    on_host: bool
    """Whether somebody listens there outside: on the host's own loopback."""
    name: str = ""
    """The host's, if it was dialled by its own address; that of the loopback is in `address`."""

    @property
    def to(self) -> str:
        """HOST:PORT."""
        return f"{self.name or self.address}:{self.port}"

    def text(self) -> str:
        """Return it as a line for people."""
        inside = "that port is closed" if self.name else "nobody listens there inside"
        outside = "somebody does on the host" if self.on_host else "nor does anybody on the host"
        if self.name:
            outside = f"{'somebody' if self.on_host else 'nobody'} listens there"
        return f"{self.to} refused: {inside}, {outside}{self.times()}"
