"""The events of servers inside that are reached from the host."""

from typing import Literal, TypeAlias

from relay.record.events.base import CausedEvent, Event

Bound: TypeAlias = Literal["ports", "events"]
"""Of what there is more than is published, or told."""


def place(address: str, port: int) -> str:
    """Return ADDRESS:PORT, an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Published(Event):
    """A port inside can be reached from the host from now on."""

    port: int
    host_port: int
    addresses: list[str]
    """Of the host."""
    asked: bool = False
    """Whether it was asked for, and is listened at whether or not anybody serves it."""
    why: str = ""
    """Why it is another port on the host, if that was not asked for."""

    @property
    def places(self) -> str:
        """Where it is reached."""
        return " and ".join(place(address, self.host_port) for address in self.addresses)

    def text(self) -> str:
        """Return it as a line for people."""
        why = f", for port {self.port} is not free there: {self.why}" if self.why else ""
        return f"port {self.port} inside is {self.places} on the host{why}"


class PublishEnded(Event):
    """A port inside is no longer offered on the host; connections that stand go on."""

    port: int
    host_port: int
    connections: int = 0
    """That have reached the server."""
    refused: int = 0
    """That have not: nobody listened any more."""

    def text(self) -> str:
        """Return it as a line for people."""
        refused = f", refused: {self.refused}" if self.refused else ""
        return (
            f"port {self.port} inside is no longer port {self.host_port} on the host;"
            f" connections: {self.connections}{refused}"
        )


class PublishingBounded(CausedEvent):
    """More listens inside than is offered on the host, or than the record tells of; once each."""

    what: Bound
    limit: int

    def text(self) -> str:
        """Return it as a line for people."""
        if self.what == "ports":
            return f"more than {self.limit} ports listen inside: others are not published"
        return f"ports were published {self.limit} times: further times are not recorded"


class PublishingFailed(CausedEvent):
    """No connection from the host can be made into the namespace, or no listener seen there."""

    cause: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"servers inside are not reached from the host: {self.cause}"
