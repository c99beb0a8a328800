"""The server of the load: bulk in both directions, echo, and an answer followed by a close.

Bulk runs in a thread for each stream, which sleeps in system calls; all else in one epoll loop.
"""

import resource
import select
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Final

BULK_PORT: Final = 7001
ECHO_PORT: Final = 7002
ANSWER_PORT: Final = 7003

BLOCK: Final = 1 << 20
COUNT: Final = struct.Struct("!Q")
ORDER: Final = struct.Struct("!cd")
"""How a bulk stream begins: its direction, up or down, and for down its seconds."""
UP: Final = b"u"
DOWN: Final = b"d"

_ANSWER: Final = b"a" * 200
_REQUEST_SIZE: Final = 4096
_BACKLOG: Final = 4096


def main() -> None:
    """Serve until killed; says when it is ready."""
    raise_descriptor_limit()
    bulk, echo, answer = (_listen(port) for port in (BULK_PORT, ECHO_PORT, ANSWER_PORT))
    threading.Thread(target=_accept_bulk, args=(bulk,), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    Loop(echo, answer).run()


def raise_descriptor_limit() -> None:
    """Let this process hold as many connections as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    listener.bind(("0.0.0.0", port))
    listener.listen(_BACKLOG)
    return listener


def _accept_bulk(listener: socket.socket) -> None:
    while True:
        stream, _ = listener.accept()
        threading.Thread(target=_serve_bulk, args=(stream,), daemon=True).start()


def _serve_bulk(stream: socket.socket) -> None:
    with stream:
        direction, seconds = ORDER.unpack(stream.recv(ORDER.size, socket.MSG_WAITALL))
        if direction == UP:
            stream.sendall(COUNT.pack(_receive(stream)))
        else:
            stream.sendall(COUNT.pack(send_for(stream, seconds)))


def _receive(stream: socket.socket) -> int:
    """Read to the end; give the number of bytes."""
    block = bytearray(BLOCK)
    total = 0
    while count := stream.recv_into(block):
        total += count
    return total


def send_for(stream: socket.socket, seconds: float) -> int:
    """Send until the time is over; give the number of bytes."""
    block = bytes(BLOCK)
    total = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        total += stream.send(block)
    return total


class Loop:
    """All short and idle connections."""

    def __init__(self, echo: socket.socket, answer: socket.socket) -> None:
        self._listeners = {listener.fileno(): listener for listener in (echo, answer)}
        self._echo = echo
        self._echoing: dict[int, socket.socket] = {}
        self._answering: dict[int, socket.socket] = {}
        self._epoll = select.epoll()
        for listener in (echo, answer):
            listener.setblocking(False)
            self._epoll.register(listener, select.EPOLLIN)

    def run(self) -> None:
        """Serve for ever."""
        while True:
            for fd, _ in self._epoll.poll():
                if fd in self._answering:
                    self._answer(fd)
                elif fd in self._echoing:
                    self._return(fd)
                else:
                    self._accept(self._listeners[fd])

    def _accept(self, listener: socket.socket) -> None:
        kind = self._echoing if listener is self._echo else self._answering
        while True:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            kind[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLIN)

    def _answer(self, fd: int) -> None:
        with self._answering.pop(fd) as connection, suppress(ConnectionError):
            if connection.recv(_REQUEST_SIZE):
                connection.send(_ANSWER)

    def _return(self, fd: int) -> None:
        """Echo; a client that has ended, or was killed, is forgotten."""
        with suppress(ConnectionError):
            data = self._echoing[fd].recv(_REQUEST_SIZE)
            if data:
                self._echoing[fd].send(data)
                return
        self._echoing.pop(fd).close()


if __name__ == "__main__":
    main()
