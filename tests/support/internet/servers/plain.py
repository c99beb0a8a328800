"""Servers of plain bytes: echo, sink and source of bulk data with their SHA-256.

The source is asked for a number of bytes by one line, sends as many, then their digest. The
sink reads to the end, then sends the digest of all it got. Both end the connection then.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

import trio

_BLOCK: Final = 64 * 1024
_COUNTER: Final = 8


async def echo(stream: trio.abc.Stream) -> None:
    """Send back what comes in; a half-closed stream is half-closed back."""
    async for data in stream:
        await stream.send_all(data)
    if isinstance(stream, trio.abc.HalfCloseableStream):
        await stream.send_eof()


async def sink(stream: trio.abc.Stream) -> None:
    """Read all, then send its SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    async for data in stream:
        digest.update(data)
    await stream.send_all(digest.hexdigest().encode())


async def source(stream: trio.abc.Stream) -> None:
    """Read how many bytes are wanted, send them, then their SHA-256 in hexadecimal."""
    line = bytearray()
    while not line.endswith(b"\n"):
        received = await stream.receive_some()
        if not received:
            return
        line += received
    digest = hashlib.sha256()
    for block in pattern(int(line)):
        digest.update(block)
        await stream.send_all(block)
    await stream.send_all(digest.hexdigest().encode())


def pattern(size: int) -> Iterator[bytes]:
    """Make `size` bytes in which no block is like another: lost or doubled ones are noticed."""
    filling = bytes(range(256)) * (_BLOCK // 256)
    for number in range(-(-size // _BLOCK)):
        block = number.to_bytes(_COUNTER, "big") + filling[_COUNTER:]
        yield block[: size - number * _BLOCK]
