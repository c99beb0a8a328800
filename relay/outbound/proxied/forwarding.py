"""One request of a program's HTTP/1.1, as a proxy forwards it: RFC 9112 section 3.2.2; pure.

A proxy that allows CONNECT for TLS alone is told of plain HTTP by requests whose target is an
absolute URL. Its authority is the destination that the program has dialled, and that was judged,
whatever the request's own Host says. One request goes over a connection: the proxy is asked to
close it after the answer, and nothing behind the request is passed on, for it could be another
request, to another host.
"""

import re
from typing import Final

import h11

from relay.addresses import Destination
from relay.one_hop import passed_on
from relay.outbound.proxied.answers import PROXY_AUTHENTICATION_REQUIRED
from relay.outbound.proxied.dialogue import basic
from relay.proxies.url import Credentials

_PORT: Final = 80
_ABSOLUTE: Final = re.compile(rb"http://[^/?]*", re.IGNORECASE)
"""A target's scheme and authority, RFC 3986 section 3.2."""


class NotHttpError(Exception):
    """What a program says is no request that could be forwarded."""


class Forwarding:
    """The way of one request: bytes of the program's in, bytes for the proxy out."""

    def __init__(self, destination: Destination, credentials: Credentials | None) -> None:
        self._authority = destination.without_port(_PORT).encode()
        self._credentials = credentials
        self._program = h11.Connection(h11.SERVER)
        self._proxy = h11.Connection(h11.CLIENT)
        self.is_done = False
        """Whether the whole request has passed."""
        self.is_unauthenticated = False
        """Whether the proxy has answered that it does not take our credentials."""

    def receive(self, data: bytes) -> bytes:
        """Take what the program sent, none at its end; raises NotHttpError."""
        out: list[bytes | None] = []
        try:
            self._program.receive_data(data)
            while not self.is_done:
                event = self._program.next_event()
                if isinstance(event, h11.Request):
                    out.append(self._proxy.send(self._absolute(event)))
                elif isinstance(event, h11.Data):
                    out.append(self._proxy.send(h11.Data(data=event.data)))
                elif isinstance(event, h11.EndOfMessage):
                    out.append(self._proxy.send(h11.EndOfMessage(headers=event.headers)))
                    self.is_done = True
                else:  # more has to come, or nothing will
                    break
        except (h11.RemoteProtocolError, h11.LocalProtocolError) as error:
            raise NotHttpError(str(error)) from error
        return b"".join(filter(None, out))

    def has_answered(self, data: bytes) -> bool:
        """Take what the proxy answers; return whether that is all, as far as it is HTTP/1.1.

        A proxy may keep its connection, though it was asked to close it. An answer that cannot be
        read is over when the connection is.
        """
        try:
            self._proxy.receive_data(data)
            while True:
                event = self._proxy.next_event()
                if isinstance(event, h11.EndOfMessage):
                    return True
                if isinstance(event, h11.Response):
                    status = event.status_code
                    self.is_unauthenticated = status == PROXY_AUTHENTICATION_REQUIRED
                if not isinstance(event, h11.InformationalResponse | h11.Response | h11.Data):
                    return False
        except h11.RemoteProtocolError:
            return False

    def _absolute(self, request: h11.Request) -> h11.Request:
        target = request.target
        if request.method.upper() == b"CONNECT":  # to a proxy it is another thing, whatever follows
            raise NotHttpError("it asks for a tunnel")
        if (absolute := _ABSOLUTE.match(target)) is not None:
            path = target[absolute.end() :]
            target = path if path.startswith(b"/") else b"/" + path
        elif target == b"*":
            target = b""
        elif not target.startswith(b"/"):
            raise NotHttpError("its target is no path")
        fields = passed_on(request.headers.raw_items())
        if any(name.lower() == b"transfer-encoding" for name, _value in fields):
            # Who goes by the length would read the rest as another request: RFC 9112 section 6.3.
            fields = [each for each in fields if each[0].lower() != b"content-length"]
        own = [(b"Host", self._authority), (b"Connection", b"close"), *fields]
        if self._credentials is not None:
            own.append((b"Proxy-Authorization", basic(self._credentials)))
        target = b"http://" + self._authority + target
        return h11.Request(method=request.method, target=target, headers=own)
