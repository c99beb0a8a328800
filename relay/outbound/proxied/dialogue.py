"""One CONNECT as HTTP/1.1 has it, RFC 9110 section 9.3.6: bytes in, the answer out; pure.

A proxy that speaks HTTP/1.0 is understood too. What follows the head of a 2xx belongs to the
destination: a server that speaks first (SSH, SMTP) may have spoken by then.
"""

import base64
import re
from typing import Final

import h11

from relay.addresses import Destination
from relay.outbound.proxied.answers import Answer, Cut, HttpRefusal, NoProxy, Through
from relay.proxies.url import Credentials

LONGEST: Final = 32768
"""Bytes of an answer, interim ones (1xx) included: a proxy that never comes to its end is none."""

_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCHEME: Final = re.compile(r"(?:^|,)[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]++)(?![ \t]*=)")
"""The first word of a challenge, RFC 9110 section 11.6.1: one field may have several of them, with
commas between them as between the parameters of each, which have a `=`."""

_AGENT: Final = b"keepline"


class Dialogue:
    """Asks a proxy for a connection."""

    def __init__(self, destination: Destination, credentials: Credentials | None) -> None:
        """Make the request; `destination` is asked for as it is, by name or by address."""
        self._connection = h11.Connection(h11.CLIENT)
        self._taken = 0
        authority = str(destination).encode()
        headers = [(b"Host", authority), (b"User-Agent", _AGENT)]
        if credentials is not None:
            headers.append((b"Proxy-Authorization", basic(credentials)))
        request = h11.Request(method=b"CONNECT", target=authority, headers=headers)
        end = h11.EndOfMessage()
        self.request: bytes = (self._connection.send(request) or b"") + (
            self._connection.send(end) or b""
        )
        """What is sent."""

    def receive(self, data: bytes) -> tuple[int, Answer | None]:
        """Take bytes, none at the end; return how many are the proxy's, and its whole answer.

        Bytes behind those are the destination's. None: more has to come.
        """
        if not data:
            return 0, NoProxy("it ends within its answer") if self._taken else Cut()
        self._taken += len(data)
        try:
            self._connection.receive_data(data)
            event = self._connection.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            return len(data), NoProxy(str(error))
        if not isinstance(event, h11.Response):
            is_endless = self._taken > LONGEST
            return len(data), NoProxy("its answer does not end") if is_endless else None
        if 200 <= event.status_code < 300:
            behind, _ended = self._connection.trailing_data
            return len(data) - len(behind), Through()
        return len(data), _refusal(event)


def basic(credentials: Credentials) -> bytes:
    """Return credentials as RFC 7617 has them."""
    pair = credentials.username + b":" + credentials.password
    return b"Basic " + base64.b64encode(pair)


def _refusal(event: h11.Response) -> HttpRefusal:
    fields = [(name, value.decode("latin-1")) for name, value in event.headers]
    schemes = [
        scheme.lower()
        for name, value in fields
        if name == b"proxy-authenticate"
        for scheme in _SCHEME.findall(_QUOTED.sub("", value))
    ]
    return HttpRefusal(
        event.status_code,
        event.reason.decode("latin-1"),
        tuple(dict.fromkeys(schemes)),
        next((value for name, value in fields if name == b"x-squid-error"), ""),
    )
