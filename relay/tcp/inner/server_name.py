"""The server name that a TLS ClientHello asks for, RFC 6066 section 3; pure.

A connection whose first byte is a record's of TLS has to begin with a ClientHello: some servers
ignore an alert, or an empty record, before it, and what they then take cannot be known here. What
is within Encrypted Client Hello is not seen; most programs send that extension without meaning it
(GREASE, RFC 9849 section 6.2), so that it cannot be refused.
"""

from typing import Final, assert_never

from relay.tcp.inner.asked import Asked, Incomplete, Names, Other, Unreadable, host_name
from relay.tcp.transfer import client_hello

LIMIT: Final = client_hello.LIMIT

_RECORDS: Final = frozenset(range(20, 25))
"""Types of TLS's records: change_cipher_spec, alert, handshake, application data, heartbeat."""

_MAJOR: Final = 3
_HEADER: Final = 5
_MOST_RECORDS: Final = 64
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0

_NO_HELLO: Final = Unreadable("TLS that does not begin with a ClientHello that can be read")
_NO_NAME: Final = Unreadable("a ClientHello whose server name is no host name")


def read(data: bytes) -> Asked:
    """Read the ClientHello with which `data` begins."""
    if data[0] not in _RECORDS:
        return Other()
    if len(data) == 1:
        return Incomplete()
    if data[1] != _MAJOR:
        return Other()
    first = client_hello.read(data) if _are_few_records(data) else client_hello.NoClientHello()
    match first:
        case client_hello.Incomplete():
            return Incomplete() if len(data) < LIMIT else _NO_HELLO
        case client_hello.NoClientHello():
            return _NO_HELLO
        case client_hello.ClientHello():
            return _asked_by(first)
        case _:
            assert_never(first)


def _asked_by(hello: client_hello.ClientHello) -> Names | Unreadable:
    if not hello.size:
        return _NO_HELLO
    asked = asked_by(hello)
    if isinstance(asked, Unreadable):
        return asked
    return Names(asked.names, hello.size, client_hello.EARLY_DATA in hello.extensions)


def _are_few_records(data: bytes) -> bool:
    """Return whether no more have begun than any program makes: what comes is read from its start.

    So one that sends a byte at a time, in records of a byte, does not keep the relay busy.
    """
    at = count = 0
    while at < min(len(data), LIMIT) and count <= _MOST_RECORDS:
        at += _HEADER + int.from_bytes(data[at + 3 : at + _HEADER], "big")
        count += 1
    return count <= _MOST_RECORDS


def asked_by(hello: client_hello.ClientHello) -> Names | Unreadable:
    """Read the one name of a ServerNameList, of which there is no type but host_name."""
    extension = hello.extensions.get(_SERVER_NAME)
    if extension is None:
        return Names()
    size = int.from_bytes(extension[3:5], "big")
    name = host_name(extension[5:])
    is_one = int.from_bytes(extension[:2], "big") == len(extension) - 2 == size + 3
    if name is None or not is_one or extension[2] != _HOST_NAME:
        return _NO_NAME
    return Names((name,))
