"""Whether servers inside can be reached from the host, for doctor: it takes sockets made there."""

import socket

import trio

from netns.process.socket_maker import SocketMaker
from relay.publishing.publishing import look_into


def lacking(diag: socket.socket) -> str:
    """Return why servers could not be found or reached in the namespace of a socket; empty: can be.

    The socket is one of sock_diag(7). The caller has one thread.
    """
    maker = SocketMaker.fork()
    try:
        return trio.run(_lacking, diag, maker)
    finally:
        maker.stop()


async def _lacking(diag: socket.socket, maker: SocketMaker) -> str:
    look = look_into(diag, (), maker)
    try:
        await look.again()
        for ipv6 in (False, True):
            (await look.sockets.connecting(ipv6=ipv6)).close()
    except OSError as error:
        return error.strerror or str(error)
    finally:
        look.close()
    return ""
