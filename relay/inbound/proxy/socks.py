"""What a program asks of a proxy by SOCKS5, RFC 1928 and 1929, as a state machine; pure.

Each message of the program's has a length of its own, so that nothing is read that is not asked
for: what stands behind the request is the connection's.
"""

import ipaddress
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias, assert_never

from relay.addresses import Endpoint
from relay.inbound.proxy import answers
from relay.inbound.proxy.answers import reply
from relay.inbound.proxy.place import (
    NoIPv6Error,
    PlaceError,
    checked_port,
    of_ipv6,
    parse_host,
)
from relay.inbound.proxy.secret import Secret

VERSION: Final = 5
"""The first byte that a program sends."""

VERSION_4: Final = 4
_REFUSED_BY_4: Final = bytes([0, 0x5B, 0, 0, 0, 0, 0, 0])
"""SOCKS4's only answer for what is not served: it knows no names and no passwords."""

_NO_AUTHENTICATION: Final = 0
_PASSWORD: Final = 2
_NONE_ACCEPTABLE: Final = 0xFF
_OF_PASSWORDS: Final = 1
"""Version of the dialogue of RFC 1929."""

_CONNECT: Final = 1
_IPV4: Final = 1
_NAME: Final = 3
_IPV6: Final = 4
_SIZES: Final = {_IPV4: 4, _IPV6: 16}


@dataclass(frozen=True)
class Connect:
    """The program asks for a connection; it waits for a reply."""

    to: Endpoint


@dataclass(frozen=True)
class Say:
    """The dialogue goes on: the program waits for these bytes."""

    data: bytes


@dataclass(frozen=True)
class Refused:
    """The dialogue ends with these bytes."""

    data: bytes


Step: TypeAlias = Connect | Say | Refused


class _State(Enum):
    GREETING = "which methods of authentication the program has"
    LOGIN = "its user and password"
    REQUEST = "what it asks for"
    OVER = "nothing more is read"


class Dialogue:
    """The server's side of SOCKS5, up to the request."""

    def __init__(self, secret: Secret | None) -> None:
        """Require the secret, if there is one."""
        self._secret = secret
        self._state = _State.GREETING
        self._data = bytearray()

    @property
    def behind(self) -> int:
        """How many of the bytes that were received have not been read."""
        return len(self._data)

    def receive(self, data: bytes) -> Step | None:
        """Take what has come; return what follows, None if more has to come.

        To be called once more, without data, after each Say.
        """
        self._data += data
        match self._state:
            case _State.GREETING:
                return self._greeting()
            case _State.LOGIN:
                return self._login()
            case _State.REQUEST:
                return self._request()
            case _State.OVER:
                return None
            case _:
                assert_never(self._state)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def _end(self, data: bytes) -> Refused:
        self._state = _State.OVER
        return Refused(data)

    def _greeting(self) -> Step | None:
        data = self._data
        if data[:1] not in (b"", bytes([VERSION])):
            return self._end(_REFUSED_BY_4 if data[0] == VERSION_4 else b"")
        if len(data) < 2 or len(data) < 2 + data[1]:
            return None
        methods = self._take(2 + data[1])[2:]
        wanted = _NO_AUTHENTICATION if self._secret is None else _PASSWORD
        if self._secret is None and wanted not in methods:
            wanted = _PASSWORD  # any will do, for a program that has no other method
        if wanted not in methods:
            return self._end(bytes([VERSION, _NONE_ACCEPTABLE]))
        self._state = _State.REQUEST if wanted == _NO_AUTHENTICATION else _State.LOGIN
        return Say(bytes([VERSION, wanted]))

    def _login(self) -> Step | None:
        data = self._data
        if data[:1] not in (b"", bytes([_OF_PASSWORDS])):
            return self._end(bytes([_OF_PASSWORDS, 1]))
        if len(data) < 2 or len(data) < 3 + data[1]:
            return None
        of_user = data[1]
        of_password = data[2 + of_user]
        if len(data) < 3 + of_user + of_password:
            return None
        message = self._take(3 + of_user + of_password)
        user, password = message[2 : 2 + of_user], message[3 + of_user :]
        if self._secret is not None and not self._secret.fits(user, password):
            return self._end(bytes([_OF_PASSWORDS, 1]))
        self._state = _State.REQUEST
        return Say(bytes([_OF_PASSWORDS, 0]))

    def _request(self) -> Step | None:
        data = self._data
        if data[:1] not in (b"", bytes([VERSION])):
            return self._end(reply(answers.GENERAL_FAILURE))
        if len(data) < 5:
            return None
        kind = data[3]
        if kind != _NAME and kind not in _SIZES:
            return self._end(reply(answers.NO_SUCH_ADDRESS_TYPE))
        start = 5 if kind == _NAME else 4
        end = start + (data[4] if kind == _NAME else _SIZES[kind])
        if len(data) < end + 2:
            return None
        message = self._take(end + 2)
        if message[1] != _CONNECT:  # BIND and UDP ASSOCIATE: what comes in, and UDP, is not relayed
            return self._end(reply(answers.NO_SUCH_COMMAND))
        return self._asked(kind, message[start:end], int.from_bytes(message[end:], "big"))

    def _asked(self, kind: int, address: bytes, port: int) -> Step:
        try:
            to = _host(kind, address), checked_port(port)
        except NoIPv6Error:
            return self._end(reply(answers.NETWORK_UNREACHABLE))
        except PlaceError:
            return self._end(reply(answers.GENERAL_FAILURE))
        self._state = _State.OVER
        return Connect(to)


def _host(kind: int, address: bytes) -> str:
    """Return the host that a request names; raises PlaceError."""
    if kind == _IPV4:
        return str(ipaddress.IPv4Address(address))
    if kind == _IPV6:
        return of_ipv6(address)
    try:
        return parse_host(address.decode("ascii"))
    except UnicodeDecodeError:
        raise PlaceError("its name is not in ASCII") from None
