"""The client of the load: an order a line on stdin, [function, arguments]; its figure on stdout.

It runs without keepline, under it or under a peer, and does not know which.
"""

import http.client
import json
import os
import select
import signal
import socket
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final

from tests.bench.server import (
    ANSWER_PORT,
    BLOCK,
    BULK_PORT,
    COUNT,
    DOWN,
    ECHO_PORT,
    ORDER,
    UP,
    raise_descriptor_limit,
    send_for,
)

_ANSWER_SIZE: Final = 4096
_REQUEST: Final = b"r" * 100

_SEEDS: Final = 50
"""Of the API's messages: all sides ask for the same ones."""
_LAST_EVENT: Final = b'data: {"type":"message_stop"}\n\n'

_IGNORED_BY_PYTHON: Final = (signal.SIGPIPE, signal.SIGXFSZ)

_idle: list[socket.socket] = []


class WrongBytesError(Exception):
    """Other bytes arrived than were sent."""


def main() -> None:
    """Obey until the orders end."""
    raise_descriptor_limit()
    orders: dict[str, Callable[..., float]] = {
        order.__name__: order
        for order in (
            *(upload, download, ping_pong, first_byte, first_bytes, requests, hold, start_up),
            *(send, receive, connections, messages),
        )
    }
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer: dict[str, float | str] = {"figure": orders[name](**arguments)}
        except (OSError, WrongBytesError) as error:
            answer = {"failure": str(error)}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def upload(address: str, streams: int, seconds: float) -> float:
    """Send on all streams at once; bytes a second, until the last one is counted over there."""
    return _in_bulk(lambda: _upload(address, seconds), streams)


def download(address: str, streams: int, seconds: float) -> float:
    """Receive on all streams at once; bytes a second."""
    return _in_bulk(lambda: _download(address, seconds), streams)


def send(address: str, seconds: float) -> float:
    """Send on one stream; gives how many bytes."""
    return _upload(address, seconds)


def receive(address: str, seconds: float) -> float:
    """Receive on one stream; gives how many bytes."""
    return _download(address, seconds)


def _in_bulk(transfer: Callable[[], int], streams: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        counts = list(pool.map(lambda _: transfer(), range(streams)))
    return sum(counts) / (time.perf_counter() - began)


def _upload(address: str, seconds: float) -> int:
    with _connected(address, BULK_PORT) as stream:
        stream.send(ORDER.pack(UP, 0))
        sent = send_for(stream, seconds)
        stream.shutdown(socket.SHUT_WR)
        arrived: int = COUNT.unpack(stream.recv(COUNT.size, socket.MSG_WAITALL))[0]
    if arrived != sent:
        raise WrongBytesError(f"{sent} bytes sent up, {arrived} arrived")
    return sent


def _download(address: str, seconds: float) -> int:
    """Receive until the end; the last bytes tell how many came before them."""
    block = bytearray(BLOCK)
    last = b""
    total = 0
    with _connected(address, BULK_PORT) as stream:
        stream.send(ORDER.pack(DOWN, seconds))
        while count := stream.recv_into(block):
            total += count
            last = (last + bytes(block[max(0, count - COUNT.size) : count]))[-COUNT.size :]
    sent: int = COUNT.unpack(last)[0]
    if total != sent + COUNT.size:
        raise WrongBytesError(f"{sent} bytes sent down, {total - COUNT.size} arrived")
    return total


def ping_pong(address: str, count: int) -> float:
    """Send a byte and wait for it, on one connection; median seconds."""
    with _connected(address, ECHO_PORT) as connection:
        return _median(lambda: _round_trip(connection), count)


def first_byte(host: str, count: int) -> float:
    """Connect to an address or a name, send a byte and wait for it; median seconds."""

    def once() -> None:
        with _connected(host, ECHO_PORT) as connection:
            _round_trip(connection)

    return _median(once, count)


def first_bytes(hosts: list[str]) -> float:
    """Do the same with each of these hosts, once; median seconds."""
    remaining = iter(hosts)

    def once() -> None:
        with _connected(next(remaining), ECHO_PORT) as connection:
            _round_trip(connection)

    return _median(once, len(hosts))


def requests(address: str, at_once: int, seconds: float) -> float:
    """Connect, request, read the answer to its end, close; finished ones a second."""
    load = Requests((address, ANSWER_PORT))
    began = time.perf_counter()
    for _ in range(at_once):
        load.start_one()
    while time.perf_counter() < began + seconds:
        load.turn()
    rate = load.finished / (time.perf_counter() - began)
    load.close()
    return rate


def connections(address: str, at_once: int, count: int) -> float:
    """Connect, request, read the answer to its end, close, so many times; gives how many."""
    load = Requests((address, ANSWER_PORT))
    for _ in range(at_once):
        load.start_one()
    while load.finished < count:
        load.turn()
    load.close()
    return load.finished


class Requests:
    """Requests in flight, each on a connection of its own."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._epoll = select.epoll()
        self._live: dict[int, socket.socket] = {}
        self.finished = 0

    def start_one(self) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.connect_ex(self._server)
        self._live[connection.fileno()] = connection
        # An event for "connected" and one for each arrival, with one registration.
        self._epoll.register(connection, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)

    def turn(self) -> None:
        """Do what can be done now; a finished request is replaced by a new one."""
        for fd, event in self._epoll.poll():
            if not event & select.EPOLLIN:
                self._live[fd].send(_REQUEST)
            elif self._read_to_end(fd):
                self._live.pop(fd).close()
                self.finished += 1
                self.start_one()

    def _read_to_end(self, fd: int) -> bool:
        try:
            while self._live[fd].recv(_ANSWER_SIZE):
                pass
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        for connection in self._live.values():
            connection.close()
        self._epoll.close()


def messages(host: str, at_once: int, count: int) -> float:
    """POST to the API host for streamed messages, on so many connections; gives how many."""
    context = ssl.create_default_context(cafile=os.environ["NODE_EXTRA_CA_CERTS"])

    def some(keys: range) -> int:
        with closing(http.client.HTTPSConnection(host, context=context)) as connection:
            return sum(_message(connection, key) for key in keys)

    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(some, (range(first, count, at_once) for first in range(at_once))))


def _message(connection: http.client.HTTPSConnection, key: int) -> int:
    body = json.dumps({"seed": key % _SEEDS, "stream": True})
    # A key of its own: the API answers a second try of a request by other bytes.
    fields = {"content-type": "application/json", "x-request-key": f"{time.monotonic_ns()} {key}"}
    connection.request("POST", "/v1/messages", body, fields)
    answer = connection.getresponse().read()
    if not answer.endswith(_LAST_EVENT):
        raise WrongBytesError(f"a message ends with {answer[-100:]!r}")
    return 1


def hold(address: str, count: int) -> float:
    """Keep this many connections open, idle, each known to reach the server; gives how many."""
    while len(_idle) < count:
        connection = _connected(address, ECHO_PORT)
        _round_trip(connection)
        _idle.append(connection)
    while len(_idle) > count:
        _idle.pop().close()
    return len(_idle)


def start_up(command: list[str], count: int) -> float:
    """Run a command from its fork to its end; median seconds."""

    def once() -> None:
        pid = os.posix_spawnp(command[0], command, os.environ, setsigdef=_IGNORED_BY_PYTHON)
        _, status = os.waitpid(pid, 0)
        if status:
            code = os.waitstatus_to_exitcode(status)
            raise ChildProcessError(f"{command[0]}: exit status {code}")

    return _median(once, count)


def _connected(host: str, port: int) -> socket.socket:
    connection = socket.create_connection((host, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A namespace may have inherited one that paces, which would be measured in place of the relay.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    return connection


def _round_trip(connection: socket.socket) -> None:
    connection.send(b"x")
    if connection.recv(1) != b"x":
        raise WrongBytesError("the echo is another byte")


def _median(function: Callable[[], None], count: int) -> float:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
