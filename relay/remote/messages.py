"""What passes between a sealed container and the relay outside of it; pure.

    inside                          outside
    Hello                 ->
                          <-        Welcome, or Refused
    Handover, sockets     ->
                          <-        Serving, or Refused
    (the command runs)
    Ended                 ->
                          <-        Finished

Each is one packet of a SOCK_SEQPACKET socket, unix(7). Either side may close instead, and ends the
session by that. What is inside is not trusted: what it says is bounded here, and can only tighten
what holds outside.
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from netns.plan import Intercept
from relay.config import ConfigError, Project
from relay.config.entries import Entry
from relay.policy.policy import Private

PROTOCOL: Final = 1
"""Both sides are to have the same."""

MOST_BYTES: Final = 1 << 16
"""Bytes of a message."""

MOST_LISTENERS: Final = 240
"""Of a container: with all others they are less than SCM_MAX_FD of the kernel, 253."""

MOST_ASKED: Final = 16
"""Sources of rules inside: flags and files together, and the files of the project."""

MOST_NOTES: Final = 8

MOST_OF_LINE: Final = 1024
"""Characters of what is said at the end."""

CONTAINER: Final = "the sealed container"
"""The source of its rules, for people."""

_Line: TypeAlias = Annotated[str, Meta(max_length=256)]
_Lines: TypeAlias = Annotated[tuple[_Line, ...], Meta(max_length=MOST_NOTES)]
_Rules: TypeAlias = tuple[_Line, ...]
_Port: TypeAlias = Annotated[int, Meta(ge=1, le=65535)]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """There will be no session; the form of this message is the same in all versions."""

    cause: str
    next_step: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Rules of one source inside: they hold besides those of all others."""

    deny: _Rules = ()
    allow: _Rules = ()
    is_allowlist: bool = False
    private: Private = "allow"
    is_unpublished: bool = False

    def project(self) -> Project:
        """Return them as a source that can only tighten; raises ConfigError."""
        try:
            found = Project(
                path=CONTAINER,
                allow=tuple(map(_entry, self.allow)),
                deny=tuple(map(_entry, self.deny)),
                is_allowlist=self.is_allowlist,
                private=self.private,
                is_unpublished=self.is_unpublished,
            )
            found.policy()
        except ValueError as error:
            raise ConfigError(f"{CONTAINER}: {error}") from None
        return found


def _entry(rule: str) -> Entry:
    return Entry(host=rule, source=CONTAINER)


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The first message: who asks, and what is to be forbidden besides what is so outside."""

    protocol: int = PROTOCOL
    version: _Line
    program: _Line
    """The command's first word."""
    agent: _Line = ""
    """The agent that the command runs, if it is known to be one."""
    is_terminal: bool = False
    """Whether the command's stdout is a terminal."""
    asked: Annotated[tuple[Asked, ...], Meta(max_length=MOST_ASKED)] = ()


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """What the namespace inside is to look like."""

    version: str
    session: str
    """Its name outside, where its record is."""
    dns_pool: str
    resolv_conf: str
    """Of the host; its name servers are replaced inside."""
    intercept: Literal["auto", "tproxy", "redirect", "ports"]
    ports: tuple[_Port, ...]
    patience: int
    """Seconds that a connect() which nobody answers is to be held at least."""
    loopback_port: int | None = None
    environment: dict[str, str] = {}
    authority: str = ""
    """The gateway's certificate authority, PEM; empty if programs need none."""

    def suits(self, first: "Welcome") -> bool:
        """Return whether a namespace that was made for `first` is as this one has it.

        A program does not learn of another authority: it was told at its start.
        """
        return not self.authority and (
            (self.dns_pool, self.intercept, self.ports, self.loopback_port)
            == (first.dns_pool, first.intercept, first.ports, first.loopback_port)
        )


class Handover(msgspec.Struct, frozen=True, kw_only=True, tag="handover"):
    """What the sockets are that come with it, in the order of descriptors.wanted()."""

    intercept: Intercept
    listeners: Annotated[int, Meta(ge=1, le=MOST_LISTENERS)]
    holds: bool
    """Whether those that hold SYNs are among them."""
    holds_ipv6: bool = False
    makes: bool = False
    """Whether a channel is among them over which more can be asked for."""
    notes: _Lines = ()
    held_notes: _Lines = ()


class Serving(msgspec.Struct, frozen=True, tag="serving"):
    """The relay serves the sockets; the command may start."""


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The command has ended."""

    status: Annotated[int, Meta(ge=0, le=255)]
    """As a shell shows it."""


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """All is delivered, and the record is complete."""

    line: str = ""
    """What is to be said; empty if nothing."""


FromInside: TypeAlias = Hello | Handover | Ended
FromOutside: TypeAlias = Refused | Welcome | Serving | Finished

_encoder: Final = msgspec.json.Encoder()
_inside: Final = msgspec.json.Decoder(FromInside)
_outside: Final = msgspec.json.Decoder(FromOutside)


class _Begin(msgspec.Struct):
    """What every Hello begins with, whichever version of keepline has sent it."""

    type: Literal["hello"]
    protocol: int


class OtherProtocolError(ValueError):
    """The peer is another version of keepline, with another protocol."""

    def __init__(self, protocol: int) -> None:
        super().__init__(f"protocol {protocol}, not {PROTOCOL}")
        self.protocol = protocol


def encoded(message: FromInside | FromOutside) -> bytes:
    """Write a message; raises ValueError if it is longer than the other side would read."""
    data = _encoder.encode(message)
    if len(data) > MOST_BYTES:
        raise ValueError(f"a message of {len(data)} bytes, of which {MOST_BYTES} are read")
    return data


def hello(data: bytes) -> Hello:
    """Read the first message; raises OtherProtocolError, and ValueError for all else."""
    try:
        begin = msgspec.json.decode(data, type=_Begin)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("it is no Hello") from None
    if begin.protocol != PROTOCOL:
        raise OtherProtocolError(begin.protocol)
    message = from_inside(data)
    assert isinstance(message, Hello)
    return message


def handover(data: bytes) -> Handover:
    """Read the message with which sockets come; raises ValueError for all others."""
    message = from_inside(data)
    if not isinstance(message, Handover):
        raise ValueError("another message than that with its sockets")  # noqa: TRY004 - as received
    return message


def from_inside(data: bytes) -> FromInside:
    """Read a message of the container; raises ValueError."""
    try:
        message: FromInside = _inside.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no message of a container: {error}") from None
    return message


def from_outside(data: bytes) -> FromOutside:
    """Read a message of the relay; raises ValueError."""
    try:
        message: FromOutside = _outside.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no message of a relay: {error}") from None
    return message
