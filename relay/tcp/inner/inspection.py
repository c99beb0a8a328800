"""Judges what a connection's first bytes ask for; in mode `allowlist` they wait for that. Pure.

In mode `open` bytes are never held: what a deny rule names is recorded alone. Judged are a TLS
ClientHello at any port, a second one right after it, and the first request at port 80. Nothing
else is: a protocol in which the server speaks first, or that begins TLS later, and what comes after
the first request.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol, assert_never

from relay.addresses import Destination
from relay.policy.verdicts import Allow, Deny
from relay.tcp.inner import proxy_header, request_head, second_hello, server_name
from relay.tcp.inner.asked import HTTP_PORT, Asked, Incomplete, Names, Other, Unreadable

LIMIT: Final = 10.0
"""Seconds from the first byte to the last one that is needed."""

_LATE: Final = Unreadable(f"a beginning that was not complete within {LIMIT:g} s")
_CUT: Final = Unreadable("a beginning that ends before it is complete")
_URGENT: Final = Unreadable("urgent data in the beginning")
"""A server may take an urgent byte out of the stream (RFC 6093 section 2.2), and read another."""


class Judge(Protocol):
    """What is asked of the policy."""

    @property
    def is_allowlist(self) -> bool:
        """Whether what is denied is refused, and not only recorded."""

    def judge_inner(self, destination: Destination, inner: str) -> Allow | Deny:
        """Judge a name that is asked for on a connection to a destination."""


def denials(
    asked: Asked, destination: Destination, judge: Judge, *, is_strict: bool
) -> Iterator[tuple[Deny, str]]:
    """Yield what forbids a name that is asked for, and the name; the destination's is not judged.

    Where denials are refused, `is_strict`, what cannot be read is one: no rule can allow it.
    """
    match asked:
        case Unreadable(why):
            if is_strict:
                yield Deny(f"{why}, so that no rule can allow it"), ""
        case Names(names):
            for name in names:
                if name == destination.host:
                    continue
                verdict = judge.judge_inner(destination, name)
                if isinstance(verdict, Deny):
                    yield verdict, name
        case Incomplete() | Other():
            pass
        case _:
            assert_never(asked)


class RefusedError(Exception):
    """What the connection asks for is denied."""

    def __init__(self, denied: Deny, inner: str) -> None:
        """Keep the verdict, and the name; empty if none could be read."""
        super().__init__(denied.rule)
        self.denied = denied
        self.inner = inner


class Inspection:
    """The first bytes of one connection's program."""

    def __init__(
        self,
        destination: Destination,
        judge: Judge,
        differs: Callable[[Deny, str], None] = lambda _denied, _inner: None,
    ) -> None:
        """Judge by `judge`; what is denied and passed on all the same goes to `differs`."""
        self.held = b""
        """What waits for a verdict."""
        self.is_open = True
        """Whether more is to be judged."""
        self._destination = destination
        self._judge = judge
        self._differs = differs
        self._is_strict = judge.is_allowlist
        self._seen = b""
        self._deadline = 0.0
        self._is_http = destination.port == HTTP_PORT
        self._header: bytes | None = b"" if self._is_strict and not self._is_http else None
        """What has gone on and may be a proxy's header; None once the beginning has begun."""
        self._first: Names | None = None
        """What the first ClientHello has asked for, once it may go on."""
        self._followed = 0
        """Bytes after it that have gone on."""

    @property
    def deadline(self) -> float | None:
        """When the verdict is due, if something waits for it."""
        return self._deadline if self.held else None

    def server_speaks(self) -> None:
        """Note that the server has spoken: if it was the first to, this is no HTTP."""
        self._is_http = self._is_http and bool(self._seen)

    def received(self, data: bytes, now: float, *, is_urgent: bool = False) -> bytes:
        """Take what the program has sent; return what may go on. Raises RefusedError."""
        if self._header is not None and not is_urgent:
            size = self._size_of_header(data)
            if size:
                rest = data[size:]
                return data[:size] + (self.received(rest, now) if rest else b"")
        if self._first is not None:
            return self._follow(self._first, data, now, is_urgent=is_urgent)
        if not self._seen:
            self._deadline = now + LIMIT
        self._seen += data
        asked = _URGENT if is_urgent and self._is_strict else self._read()
        if isinstance(asked, Incomplete) and now >= self._deadline:
            asked = _LATE
        if isinstance(asked, Incomplete) and self._is_strict:
            self.held = self._seen
            return b""
        passed = self._seen if self._is_strict else data
        if not isinstance(asked, Incomplete):
            self._end(asked)
        if isinstance(asked, Names) and asked.hello and self._is_strict:
            self._first, self.is_open = asked, True
            more = passed[asked.hello :]
            return passed[: asked.hello] + self._follow(asked, more, now)
        return passed

    def _size_of_header(self, data: bytes) -> int:
        """Return how much of this may be a proxy's header, which goes on at once."""
        before = self._header or b""
        size = proxy_header.size(before + data)
        if size is None:
            self._header = before + data
            return len(data)
        self._header = b"" if size else None  # another may follow
        return size - len(before) if size else 0

    def _follow(self, first: Names, data: bytes, now: float, *, is_urgent: bool = False) -> bytes:
        """Take what follows the first ClientHello; return what may go on. Raises RefusedError."""
        if not self.held:
            self._deadline = now + LIMIT
        data, self.held = self.held + data, b""
        asked, size = second_hello.read(data, is_early=first.is_early)
        self._followed += size
        if is_urgent:
            asked = _URGENT
        elif isinstance(asked, Incomplete) and now >= self._deadline:
            asked = _LATE
        if isinstance(asked, Incomplete) and self._followed <= second_hello.MOST:
            self.held = data[size:]
            return data[:size]
        self._end(asked)
        return data

    def ended(self) -> None:
        """Note that the program sends no more; raises RefusedError."""
        if self.held:
            self._end(_CUT)

    def is_late(self) -> None:
        """Note that the deadline has passed; raises RefusedError."""
        if self.held:
            self._end(_LATE)

    def _read(self) -> Asked:
        asked = server_name.read(self._seen)
        return request_head.read(self._seen) if self._is_http and asked == Other() else asked

    def _end(self, asked: Asked) -> None:
        self.is_open, self.held, self._seen = False, b"", b""
        is_strict = self._is_strict
        for denied, name in denials(asked, self._destination, self._judge, is_strict=is_strict):
            if is_strict:
                raise RefusedError(denied, name)
            self._differs(denied, name)
