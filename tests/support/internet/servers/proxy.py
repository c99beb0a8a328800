"""Small proxies: HTTP CONNECT and SOCKS5, with what real ones do and say.

async def reach(host, port): return await connect(internet.server, SERVER, port)
proxy = Proxy(reach)                                    # .asked: what it was asked for
await nursery.start(serve, proxy.http, listen(internet.router, GATEWAY, 3128))
proxy.refuse = b"HTTP/1.1 403 Blocked\\r\\n\\r\\n"        # in place of an answer
"""

import base64
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from relay.addresses import ipv4_text

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
Reach = Callable[[str, int], Awaitable[trio.SocketStream]]

ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
UNKNOWN: Final = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
    b"Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n"
    b'Proxy-Authenticate: Basic realm="corp"\r\nContent-Length: 3\r\n\r\nno\n'
)
_SUCCEEDED: Final = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


class Proxy:
    """A proxy; what it is told to do holds for each connection that comes."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self.asked: list[str] = []
        """HOST:PORT of each request."""
        self.credentials = ""
        """USER:PASSWORD that it wants."""
        self.established = ESTABLISHED
        self.refuse = b""
        """What it answers in place of reaching a destination."""
        self.reply = 0
        """The same of SOCKS5: its code."""
        self.piece = 4096
        """Bytes of an answer that it sends at a time."""
        self.with_first_bytes = False
        """Whether its answer comes together with the destination's first bytes."""
        self.forwards = False
        """Whether it takes requests with absolute targets, answers with their bodies, and allows no
        CONNECT to port 80."""
        self.keeps = False
        """Whether it keeps such a connection, though it was asked to close it."""
        self.cuts = False
        """Whether it resets such a connection in place of an answer."""
        self.heads: list[bytes] = []
        """Of all requests."""
        self.connections: set[Stream] = set()

    async def http(self, stream: Stream) -> None:
        """Serve one connection by CONNECT."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = await stream.receive_some(1)
            if not data:
                return
            head += data
        method, authority, _version = head.split(b"\r\n")[0].decode().split()
        self.asked.append(authority)
        self.heads.append(head)
        if self.credentials and self._known() not in head:
            await stream.send_all(UNKNOWN)
            await stream.aclose()
            return
        if self.forwards and method != "CONNECT":
            await self._forward(stream, head)
            return
        is_denied = self.forwards and authority.endswith(":80")
        if self.refuse or is_denied or method != "CONNECT":
            await stream.send_all(self.refuse or b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            await stream.aclose()
            return
        host, _colon, port = authority.rpartition(":")
        upstream = await self._reach(host, int(port))
        answer = self.established
        if self.with_first_bytes:
            answer += await upstream.receive_some()
        await self._join(stream, upstream, answer)

    async def _forward(self, stream: Stream, head: bytes) -> None:
        """Answer a request by its body, or by a reset."""
        if self.cuts:
            _reset(stream)
            return
        body = await _exactly(stream, int(head.partition(b"Content-Length: ")[2].split(b"\r")[0]))
        if self.keeps:
            await stream.send_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await stream.receive_some()
            return
        await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        await _end(stream)

    def _known(self) -> bytes:
        pair = base64.b64encode(self.credentials.encode())
        return b"Proxy-Authorization: Basic " + pair + b"\r\n"

    async def socks(self, stream: Stream) -> None:
        """Serve one connection by SOCKS5, RFC 1928."""
        count = (await _exactly(stream, 2))[1]
        methods = await _exactly(stream, count)
        wanted = 2 if self.credentials else 0
        if wanted not in methods:
            await stream.send_all(b"\x05\xff")
            return
        await stream.send_all(bytes([5, wanted]))
        if self.credentials and not await self._is_known(stream):
            return
        *_head, kind = await _exactly(stream, 4)
        if kind == 3:
            host = (await _exactly(stream, (await _exactly(stream, 1))[0])).decode()
        else:
            host = ipv4_text(int.from_bytes(await _exactly(stream, 4), "big"))
        port = int.from_bytes(await _exactly(stream, 2), "big")
        self.asked.append(f"{host}:{port}")
        if self.reply:
            await stream.send_all(bytes([5, self.reply]) + _SUCCEEDED[2:])
            await stream.aclose()
            return
        await self._join(stream, await self._reach(host, port), _SUCCEEDED)

    async def _is_known(self, stream: Stream) -> bool:
        """Authenticate as RFC 1929 has it."""
        user = await _exactly(stream, (await _exactly(stream, 2))[1])
        password = await _exactly(stream, (await _exactly(stream, 1))[0])
        is_known = user + b":" + password == self.credentials.encode()
        await stream.send_all(b"\x01\x00" if is_known else b"\x01\x01")
        return is_known

    async def _join(self, stream: Stream, upstream: Stream, answer: bytes) -> None:
        """Answer, and copy both ways; an end is passed on as what it was."""
        _tcp(stream).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections |= {stream, upstream}
        for at in range(0, len(answer), self.piece):
            await stream.send_all(answer[at : at + self.piece])
        try:
            async with upstream, trio.open_nursery() as nursery:
                nursery.start_soon(_copy, stream, upstream)
                await _copy(upstream, stream)
        finally:
            self.connections -= {stream, upstream}

    async def end_tunnels(self) -> None:
        """End all connections of clients, as if they had been idle for too long."""
        for stream in tuple(self.connections):
            await _end(stream)

    def forget(self) -> None:
        """End all connections by a reset."""
        for stream in tuple(self.connections):
            _reset(stream)


def _tcp(stream: Stream) -> trio.SocketStream:
    return stream if isinstance(stream, trio.SocketStream) else stream.transport_stream


def _reset(stream: Stream) -> None:
    tcp = _tcp(stream)
    if tcp.socket.fileno() != -1:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        tcp.socket.close()


async def _end(sink: Stream) -> None:
    """End a direction; of TLS both."""
    await (sink.send_eof() if isinstance(sink, trio.SocketStream) else sink.aclose())


async def _copy(source: Stream, sink: Stream) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
        await _end(sink)
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        for stream in (source, sink):
            _reset(stream)


async def _exactly(stream: Stream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            raise trio.BrokenResourceError
        data += more
    return data
