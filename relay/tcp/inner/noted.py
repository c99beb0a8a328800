"""Names that TLS and HTTP ask for within connections to others, for the record: each once. Pure.

`keepline policy learn` needs them, for in mode `allowlist` they have to be allowed too. A program
that wants to hide a name can; what it gets by that is a list that does not allow it.
"""

from collections.abc import Callable
from typing import Final

from relay.addresses import Destination
from relay.tcp.inner import request_head, server_name
from relay.tcp.inner.asked import HTTP_PORT, Names

MOST: Final = 1000
"""Names that are recorded."""

_MOST_OF_DESTINATION: Final = 16
_HANDSHAKE: Final = 22


class Noted:
    """The names that are in the record."""

    def __init__(self) -> None:
        self._known: dict[Destination, list[str]] = {}
        self._left = MOST

    def heard(self, destination: Destination, record: Callable[[str], None], sent: bytes) -> None:
        """Take what a program has sent before the first byte of an answer; `record` new names.

        Mostly it asks for the destination: then it is searched for that name alone, not read.
        """
        if not sent or not self._left:
            return
        is_tls = sent[0] == _HANDSHAKE
        if not is_tls and destination.port != HTTP_PORT:
            return
        form = _tls_form if is_tls else _http_form
        known = self._known.get(destination, [])
        if form(destination.host) in sent or any(form(name) in sent for name in known):
            return
        asked = server_name.read(sent) if is_tls else request_head.read(sent)
        if not isinstance(asked, Names) or len(known) >= _MOST_OF_DESTINATION:
            return
        for name in asked.names:
            if name != destination.host and name not in known and self._left:
                self._known[destination] = known = [*known, name]
                self._left -= 1
                record(name)


def _tls_form(name: str) -> bytes:
    """Return a name as it is in the extension server_name, RFC 6066 section 3."""
    return b"\0" + len(name).to_bytes(2, "big") + name.encode()


def _http_form(name: str) -> bytes:
    """Return the field Host with a name, as most programs write it."""
    return b"Host: " + name.encode() + b"\r\n"
