"""What a program asks of a proxy by HTTP/1.1, RFC 9112 section 3.2, read by h11; pure.

CONNECT asks for a tunnel: what stands behind its head is the tunnel's own, and left alone. A
request whose target is an absolute URL is forwarded: to the authority of the URL, whatever its Host
says (section 3.2.2), and it alone. What comes behind it could be a request to another host.
A request by a path is for this server, which reads it itself: its first line alone is looked at.
"""

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import h11

from relay.addresses import Endpoint
from relay.inbound.proxy.answers import answer
from relay.inbound.proxy.place import PlaceError, parse
from relay.inbound.proxy.secret import Secret
from relay.one_hop import passed_on

MOST: Final = 64 * 1024
"""Bytes of a head."""

MOST_OF_LINE: Final = 8 * 1024
"""Bytes of a request's first line up to the end of its path, RFC 9112 section 3."""

_METHOD: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_BY_PATH: Final = re.compile(_METHOD + rb"+ (/[!-~]*) ")
_BEGINNING: Final = re.compile(_METHOD + rb"*|" + _METHOD + rb"+ (/[!-~]*)?")

_HTTP_PORT: Final = 80
_SCHEME: Final = b"http://"
_LOGIN: Final = 'Proxy-Authenticate: Basic realm="keepline"'


@dataclass(frozen=True)
class Tunnel:
    """CONNECT."""

    to: Endpoint


@dataclass(frozen=True)
class Forward:
    """A request that is to be forwarded."""

    to: Endpoint
    head: bytes = field(repr=False)
    """As the server is to see it."""
    rest: "Rest" = field(repr=False, compare=False)


@dataclass(frozen=True)
class OwnPath:
    """A request to this server itself, by a path: it may be the gateway's."""

    target: bytes = field(repr=False)


@dataclass(frozen=True)
class Refused:
    """What is no request, or none that may be served; the answer ends the connection."""

    answer: bytes


Asked: TypeAlias = Tunnel | Forward | Refused


def own_path(data: bytes) -> OwnPath | None:
    """Return what is asked of this server by a path, if that is what the bytes begin with."""
    found = _BY_PATH.match(data)
    return OwnPath(found[1]) if found is not None else None


def may_be_own_path(data: bytes) -> bool:
    """Return whether more bytes could make own_path() of these."""
    return len(data) < MOST_OF_LINE and _BEGINNING.fullmatch(data) is not None


class Rest:
    """Finds the end of a request's body among the bytes that come behind its head."""

    def __init__(self, head: bytes) -> None:
        """Take a head that h11 has read without a mistake."""
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST)
        self._h11.receive_data(head)
        self.is_over = False
        """Whether the whole body has been seen."""
        self._look()

    def part(self, data: bytes | memoryview) -> int:
        """Return how many bytes at the beginning of `data` are the request's own.

        What is not HTTP ends it.
        """
        if self.is_over or not data:
            return 0
        try:
            self._h11.receive_data(bytes(data))
            self._look()
        except h11.RemoteProtocolError:
            self.is_over = True
            return 0
        return len(data) - (len(self._h11.trailing_data[0]) if self.is_over else 0)

    def _look(self) -> None:
        while not isinstance(event := self._h11.next_event(), type):  # NEED_DATA
            if isinstance(event, h11.EndOfMessage):
                self.is_over = True
                return


class Reader:
    """Reads the head of the first request of a connection, which is not own_path()."""

    def __init__(self, secret: Secret | None) -> None:
        """Require the secret, if there is one."""
        self._secret = secret
        self._data = bytearray()
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST)
        self.behind = 0
        """How many of the bytes that were received stand behind the head."""

    def receive(self, data: bytes) -> Asked | None:
        """Take what has come, nothing at the end; None if more has to come."""
        self._data += data
        try:
            self._h11.receive_data(data)
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            status = 431 if error.error_status_hint == 431 else 400
            return Refused(answer(status, "this is not a request of HTTP/1.1"))  # nothing is quoted
        if not isinstance(event, h11.Request):
            return None if data else Refused(b"")
        self.behind = len(self._h11.trailing_data[0])
        if not self._knows(event):
            words = "the proxy's URL needs the user and the token of this session"
            return Refused(answer(407, words, _LOGIN))
        try:
            return _tunnel(event) if event.method == b"CONNECT" else self._forward(event)
        except PlaceError as error:
            return Refused(answer(400, f"this cannot be connected to: {error}"))

    def _knows(self, request: h11.Request) -> bool:
        if self._secret is None:
            return True
        shown = [value for name, value in request.headers if name == b"proxy-authorization"]
        return len(shown) == 1 and self._secret.fits_basic(shown[0])

    def _forward(self, request: h11.Request) -> Forward | Refused:
        """Read an absolute URL; raises PlaceError."""
        target = request.target
        if not target.lower().startswith(_SCHEME):
            words = "a proxy is asked for http://HOST/..., or by CONNECT HOST:PORT"
            return Refused(answer(501 if b"://" in target else 400, words))
        is_counted = b"content-length" in _names(request) or request.http_version == b"1.0"
        if is_counted and b"transfer-encoding" in _names(request):  # RFC 9112 section 6.1
            return Refused(answer(400, "the length of its body can be read in two ways"))
        rest = target[len(_SCHEME) :]
        if b"#" in rest:
            raise PlaceError("its URL has a fragment, which is not sent")
        end = min([at for at in map(rest.find, (b"/", b"?")) if at >= 0], default=len(rest))
        authority, path = rest[:end], rest[end:]
        to = parse(authority.decode("ascii"), _HTTP_PORT)
        if not path.startswith(b"/"):
            path = b"*" if request.method == b"OPTIONS" and not path else b"/" + path
        head = bytes(self._data[: len(self._data) - self.behind])
        return Forward(to, _head(request, authority, path), Rest(head))


def _tunnel(request: h11.Request) -> Tunnel | Refused:
    """Read a CONNECT; raises PlaceError."""
    framing = _names(request) & {b"content-length", b"transfer-encoding"}
    if framing and (b"content-length", b"0") not in request.headers:
        return Refused(answer(400, "CONNECT has no body"))
    return Tunnel(parse(request.target.decode("ascii")))


def _names(request: h11.Request) -> set[bytes]:
    return {name for name, _value in request.headers}


def _head(request: h11.Request, authority: bytes, path: bytes) -> bytes:
    """Return a request's head as a server is to see it; its version and its framing stay."""
    lines = [
        b" ".join((request.method, path, b"HTTP/" + request.http_version)),
        b"Host: " + authority,
        *(name + b": " + value for name, value in passed_on(request.headers.raw_items())),
        b"Connection: close",
    ]
    return b"".join(line + b"\r\n" for line in (*lines, b""))
