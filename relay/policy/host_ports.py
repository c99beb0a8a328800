"""Which ports of the host's loopback a session may reach, and by whose word; pure.

A port that nobody has opened is closed. The program's word opens none: sources are flags, the
environment, the user's own files and what was read before the command started.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from relay.addresses import DNS_PORT, MAX_PORT, Destination, is_ipv4, is_loopback
from relay.policy.policy import Policy
from relay.policy.verdicts import Allow, Deny

IPV6: Final = "[::1]"
"""How the host of a Destination is written that was dialled as ::1."""

MOST: Final = 1024
"""Ports that may be opened one by one."""

Holds: TypeAlias = Callable[[str], bool]
"""Returns whether what a source has said of a port holds still, of an address of the loopback."""


def _always(_address: str) -> bool:
    return True


class PortRange(NamedTuple):
    """Ports that a source opens together."""

    first: int
    last: int
    source: str = ""
    """Where that stands: a flag, a variable, a file and line."""

    @classmethod
    def parse(cls, text: str, source: str = "") -> "PortRange":
        """Read PORT or FIRST-LAST; raises ValueError with the text and the next step."""
        first, dash, last = text.strip().partition("-")
        numbers = [part for part in (first, last if dash else first) if _is_port(part)]
        if len(numbers) != 2 or int(numbers[0]) > int(numbers[1]):
            raise ValueError(f"{text!r}: write a port, or two as in 8000-8010, of 1 to {MAX_PORT}")
        if numbers == [f"{DNS_PORT}"] * 2:
            raise ValueError(
                f"{text!r}: that port is the session's own name server's: leave it out"
            )
        return cls(int(numbers[0]), int(numbers[1]), source)

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= MAX_PORT


class HostItself(NamedTuple):
    """The host as programs inside know it, beside loopback: its address, and the names of that."""

    address: str
    names: tuple[str, ...]
    """One at least."""

    def is_meant_by(self, host: str) -> bool:
        """Return whether a destination's host is this one, as an address or a name."""
        if host in (IPV6, "localhost", self.address, *self.names) or host.endswith(".localhost"):
            return True
        return is_ipv4(host) and is_loopback(host)


class HostPorts:
    """The ports of the host's loopback that are open to a session; it changes while that lives."""

    def __init__(self, ranges: Iterable[PortRange] = ()) -> None:
        """Open what the settings name."""
        self._ranges = tuple(ranges)
        self._opened: dict[int, dict[str, Holds]] = {}
        """The sources of ports that were opened later, in their order."""
        self._is_narrowed = False
        """Whether no port is opened one by one any more."""
        self._own = {DNS_PORT}
        """Ports that stay closed: another name server than the session's would know no rules."""
        self.changed: Callable[[], None] = lambda: None
        """Called after each change of what is open."""

    def __iter__(self) -> Iterator[PortRange]:
        """Iterate over what is open, each with the source that named it first."""
        yield from self._ranges
        for port, sources in self._opened.items():
            yield PortRange(port, port, next(iter(sources)))

    def spans(self) -> list[tuple[int, int]]:
        """Return what is open without the ports of keepline's own, each span by first and last."""
        spans = [(each.first, each.last) for each in self]
        for port in self._own:
            halves = ((first, min(last, port - 1)) for first, last in spans)
            rest = ((max(first, port + 1), last) for first, last in spans)
            spans = sorted({each for each in (*halves, *rest) if each[0] <= each[1]})
        return spans

    def why(self, port: int) -> str | None:
        """Return the source that has opened a port; None if it is closed."""
        if port in self._own:
            return None
        for each in self._ranges:
            if each.first <= port <= each.last:
                return each.source
        return next(iter(self._opened.get(port, ())), None)

    def holds(self, port: int, address: str) -> bool:
        """Return whether a port may be dialled now at one address of the loopback.

        It is asked right before the connect(): who listens there may have changed since a source
        has opened the port. A source whose word holds no longer may close it meanwhile.
        """
        if port in self._own:
            return False
        if any(each.first <= port <= each.last for each in self._ranges):
            return True
        return any(holds(address) for holds in tuple(self._opened.get(port, {}).values()))

    def open(self, port: int, source: str, holds: Holds = _always) -> bool:
        """Open a port by another word of a source; return whether it was closed before.

        Raises ValueError for a number that is no port. Past MOST ports nothing is opened.
        """
        if not 0 < port <= MAX_PORT:
            raise ValueError(f"{port} is no port")
        if port not in self._opened and len(self._opened) >= MOST:
            return False
        if self._is_narrowed:
            return False
        is_new = self.why(port) is None and port not in self._own
        self._opened.setdefault(port, {})[source] = holds
        self.changed()
        return is_new

    def close(self, port: int, source: str) -> bool:
        """Take back what a source has opened; it stays open while another one says so.

        Return whether it is closed by that.
        """
        sources = self._opened.get(port, {})
        was_open = sources.pop(source, None) is not None
        if not sources:
            self._opened.pop(port, None)
        self.changed()
        return was_open and self.why(port) is None

    def narrow(
        self, ranges: Iterable[PortRange], *, one_by_one: bool
    ) -> list[tuple[PortRange, list[PortRange]]]:
        """Keep what these ranges have too, for good; return what is closed, and what is left of it.

        Without `one_by_one`, nothing stays open but what was opened at the start by ranges, nor is
        opened later.
        """
        spans = [(each.first, each.last) for each in ranges]
        before, after = self._ranges, list[PortRange]()
        changes: list[tuple[PortRange, list[PortRange]]] = []
        for each in before:
            left = [each._replace(first=first, last=last) for first, last in _common(each, spans)]
            after += left
            if left != [each]:
                changes.append((each, left))
        self._ranges = tuple(after)
        if not one_by_one:
            self._is_narrowed = True
            changes += (
                (PortRange(port, port, source), [])
                for port, sources in self._opened.items()
                for source in sources
            )
            self._opened.clear()
        if changes:
            self.changed()
        return changes

    def has_all(self, ranges: Iterable[PortRange]) -> bool:
        """Return whether none of these ports was closed to begin with."""
        spans = [(each.first, each.last) for each in self._ranges]
        return all(_common(each, spans) == [(each.first, each.last)] for each in ranges)

    def withhold(self, port: int) -> None:
        """Refuse a port of keepline's own on the host, whoever has opened it: it leads inside."""
        self._own.add(port)
        self.changed()

    def release(self, port: int) -> None:
        """Judge a port again by its sources: keepline no longer listens there."""
        self._own.discard(port)
        self.changed()


def _common(ports: PortRange, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ports that a range has in common with any of the spans, joined where they meet."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        first, last = max(begin, ports.first), min(end, ports.last)
        if first > last:
            continue
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def judge(
    destination: Destination, itself: HostItself, ports: HostPorts, policy: Policy
) -> Allow | Deny:
    """Judge a port of the host's loopback, by whichever name or address it is dialled."""
    host, port = destination
    if ports.why(port) is None:
        return Deny(f"no --host-port opens port {port} of the host")
    return policy.judge_host_port(itself.names if host in itself.names else (host,), port)
