"""Asks a SOCKS5 proxy over a connected socket, RFC 1928 and RFC 1929, by python-socks.

It reads no byte more than the proxy's reply has, so that the next are the destination's.
"""

import socket
from typing import Any

from python_socks import ProxyError, ProxyType
from python_socks.async_.trio.v2 import Proxy as SocksProxy

from relay.addresses import Destination
from relay.outbound.proxied import tunnel
from relay.outbound.proxied.answers import Answer, Cut, NoProxy, SocksRefusal, Through
from relay.proxies.url import Proxy
from relay.sockets import send_all


class _EndedError(ConnectionResetError):
    """The proxy has ended the connection before it answered."""


class _Stream:
    """The connected socket, as python-socks reads and writes it; whoever opened it closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, **_where: Any) -> "_Stream":
        """Be what is in front of the proxy, `forward`: it is connected already."""
        return self

    async def write(self, data: bytes) -> None:
        """Send; raises OSError."""
        await send_all(self._sock, data)

    async def read_exactly(self, count: int) -> bytes:
        """Receive so many bytes; raises OSError."""
        data = await tunnel.receive_exactly(self._sock, count)
        if len(data) < count:
            raise _EndedError
        return data

    async def close(self) -> None:
        """Leave the socket to whoever opened it."""


async def ask(sock: socket.socket, proxy: Proxy, destination: Destination) -> Answer:
    """Ask for a destination, by name or by address as it is, and return the answer; OSError."""
    known = proxy.credentials
    forward: Any = _Stream(sock)
    asked = SocksProxy(
        ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        known.username.decode("ascii") if known else None,
        known.password.decode("ascii") if known else None,
        rdns=True,
        forward=forward,
    )
    try:
        await asked.connect(destination.host, destination.port, timeout=float("inf"))
    except ProxyError as error:
        message = str(error)
        if error.error_code is None and "auth" not in message.lower():
            return NoProxy(message)
        return SocksRefusal(error.error_code, message)
    except ConnectionResetError:
        return Cut()
    return Through()
