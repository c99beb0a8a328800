"""The events of the host's loopback: which of its ports are open, and what was refused."""

from relay.record.events.base import CountedEvent, Event


def _ports(first: int, last: int) -> str:
    """Return them as a person says it: port N, or ports FIRST-LAST."""
    return f"ports {first}-{last}" if last else f"port {first}"


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
        return f"{_ports(self.port, self.last)} of the host's loopback opened by {self.source}"


class HostPortClosed(Event):
    """A port of the host's loopback can be reached no longer.

    Who was served there has ended, or the settings have become tighter. What is left of several
    ports that were opened together is told by further events.
    """

    port: int
    source: str
    """Who had opened it."""
    last: int = 0
    """Of ports that were opened together; 0 if it is one."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"{_ports(self.port, self.last)} of the host's loopback closed: {self.source}"


class LoopbackRefused(CountedEvent):
    """A program dialled 127.0.0.0/8 or ::1, where nobody listens inside the namespace, or the host.

    It could have reached the host's own server if its port were open.
    """

    address: str
    port: int
    on_host: bool
    """Whether somebody listens there outside: on the host's own loopback, by either family."""
    name: str = ""
    """The host's, if it was dialled by its own address; that of the loopback is in `address`."""

    @property
    def to(self) -> str:
        """HOST:PORT."""
        host = self.name or (f"[{self.address}]" if ":" in self.address else self.address)
        return f"{host}:{self.port}"

    def text(self) -> str:
        """Return it as a line for people."""
        inside = "that port is closed" if self.name else "nobody listens there inside"
        outside = "somebody does on the host" if self.on_host else "nor does anybody on the host"
        if self.name:
            outside = f"{'somebody' if self.on_host else 'nobody'} listens there"
        return f"{self.to} refused: {inside}, {outside}{self.times()}"
