"""Asks a proxy over a connected socket, and leaves in it what is the destination's.

What has come is looked at (MSG_PEEK), and taken only as far as it is the proxy's: so whoever gets
the socket reads the destination's first bytes from it, however they came.
"""

import socket
from typing import Final

import trio

from relay.outbound.proxied.answers import Answer, Cut
from relay.outbound.proxied.dialogue import Dialogue
from relay.sockets import send_all

_MOST: Final = 4096
"""Bytes that are looked at at a time."""


async def ask(sock: socket.socket, dialogue: Dialogue) -> Answer:
    """Send the request, and return the answer; raises OSError.

    Bytes that are looked at and not taken leave the socket readable, so each look takes all of an
    answer that is not whole: else this would not wait.
    """
    await send_all(sock, dialogue.request)
    while True:
        try:
            seen = sock.recv(_MOST, socket.MSG_PEEK)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        except ConnectionResetError:
            return Cut()
        count, answer = dialogue.receive(seen)
        if count:
            sock.recv(count)
        if answer is not None:
            return answer
        await trio.lowlevel.checkpoint()  # more may have come already


async def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """Return so many bytes, fewer if the connection ends before; raises OSError."""
    data = b""
    while len(data) < count:
        try:
            more = sock.recv(count - len(data))
        except BlockingIOError:
            await trio.lowlevel.wait_readable(sock)
            continue
        if not more:
            break
        data += more
    return data
