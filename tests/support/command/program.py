"""A program of small network actions, told over its pipes what to do next; see driver.py.

It uses the standard library's sockets and the system's resolver, as a person's program does, and
imports nothing else before it must. Connections stay open from one call to the next.
"""

import base64
import errno
import fcntl
import hashlib
import itertools
import os
import pickle
import random
import select
import socket
import struct
import sys
import termios
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

PATIENCE: Final = 20.0
_PIECE: Final = 1 << 20
_DNS_PORT: Final = 53

_connections: dict[int, socket.socket] = {}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What became of a call."""

    value: Any
    error: Exception | None
    seconds: float


def main() -> None:
    """Read calls line by line, make each, and write its answer; until stdin ends."""
    socket.setdefaulttimeout(PATIENCE)
    for line in sys.stdin.buffer:
        function, arguments = decode(line)
        os.write(sys.stdout.fileno(), encode(_answer(function, arguments)))


def encode(message: object) -> bytes:
    """Write anything as one line."""
    return base64.b64encode(zlib.compress(pickle.dumps(message), 1)) + b"\n"


def decode(line: bytes) -> Any:
    """Read what `encode` has written."""
    return pickle.loads(zlib.decompress(base64.b64decode(line)))


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Answer:
    started = time.monotonic()
    value, error = None, None
    try:
        value = function(*arguments)
    except Exception as raised:  # noqa: BLE001, it is raised again on the other side
        error = raised
    return Answer(value, error, time.monotonic() - started)


# Names


def look_up(name: str, family: int = 0) -> list[str]:
    """Resolve as all programs do; the addresses in their order."""
    found = socket.getaddrinfo(name, 80, family, socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def look_up_at_once(name: str, count: int) -> list[list[str]]:
    """Resolve a name so many times at the same moment."""
    all_ready = threading.Barrier(count)

    def one(_number: int) -> list[str]:
        all_ready.wait()
        return look_up(name)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def canonical_name(name: str) -> str:
    """Ask for the name at the end of the aliases."""
    return socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)[0][3]


def name_of(address: str) -> str:
    """Ask for an address's name."""
    return socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0]


def ask(server: str, wire: bytes, over: str = "udp") -> bytes:
    """Be a resolver of its own: send a query to any server, and give its answer."""
    with _asking(server, over) as sock:
        _send_query(sock, wire)
        return _answer_to(sock)


def is_answered(server: str, wire: bytes, seconds: float) -> bool:
    """Send a query by UDP; return whether an answer comes in so many seconds."""
    with _asking(server, "udp") as sock:
        _send_query(sock, wire)
        return bool(select.select([sock], [], [], seconds)[0])


def ask_beside(server: str, slow: bytes, quick: list[bytes]) -> list[float]:
    """Send a query, and others while it waits; the seconds till the answer to each, its last."""
    with _asking(server, "udp") as waiting:
        started = time.monotonic()
        waiting.send(slow)
        seconds = []
        for wire in quick:
            before = time.monotonic()
            ask(server, wire)
            seconds.append(time.monotonic() - before)
        waiting.recv(65535)
        return [*seconds, time.monotonic() - started]


def leave_waiting(server: str, queries: list[bytes], answered: bytes) -> None:
    """Send queries, and keep the socket that their answers would come to.

    `answered` is asked now and then: its answer tells that those before it have been read, so that
    the server's buffer has room for the next.
    """
    sock = _asking(server, "udp")
    _waiting.append(sock)
    for number, wire in enumerate(queries, 1):
        sock.send(wire)
        if number % 64 == 0:
            ask(server, answered)


_waiting: list[socket.socket] = []


def send_junk(server: str, over: str, queries: list[bytes], seed: int, count: int) -> int:
    """Send packets that are no queries any more; count those after which a real one was answered.

    All but one query in ten are followed by nothing, so that junk meets junk.
    """
    chance = random.Random(seed)
    answered = 0
    for number in range(count):
        junk = _mutated(chance, chance.choice(queries))
        with _asking(server, over) as sock:
            _send_junk(sock, junk)
        if number % 10 == 9:
            answered += len(ask(server, queries[0], over)) > 0
    return answered


def _asking(server: str, over: str) -> socket.socket:
    kind = socket.SOCK_DGRAM if over == "udp" else socket.SOCK_STREAM
    sock = socket.socket(socket.AF_INET, kind)
    sock.connect((server, _DNS_PORT))
    return sock


def _send_query(sock: socket.socket, wire: bytes) -> None:
    framed = wire if sock.type == socket.SOCK_DGRAM else struct.pack("!H", len(wire)) + wire
    sock.sendall(framed)


def _answer_to(sock: socket.socket) -> bytes:
    if sock.type == socket.SOCK_DGRAM:
        return sock.recv(65535)
    (length,) = struct.unpack("!H", _exactly(sock, 2))
    return _exactly(sock, length)


def _mutated(chance: random.Random, query: bytes) -> bytes:
    """Make noise, or change, cut or lengthen a query."""
    match chance.randrange(4):
        case 0:
            return chance.randbytes(chance.randrange(200))
        case 1:
            return query[: chance.randrange(len(query))]
        case 2:
            return query + chance.randbytes(chance.randrange(1, 100))
    changed = bytearray(query)
    for _ in range(chance.randrange(1, 6)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _send_junk(sock: socket.socket, junk: bytes) -> None:
    """Frame it over TCP half of the time: junk may begin with the length already."""
    if sock.type == socket.SOCK_STREAM and len(junk) % 2:
        junk = struct.pack("!H", len(junk)) + junk
    sock.send(junk)


# Datagrams


def send_datagram(address: str, port: int) -> bytes:
    """Send one, as QUIC begins, and wait for what comes back."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        sock.send(bytes(1200))
        return sock.recv(65535)


# Connections


def open_connection(host: str, port: int) -> int:
    """Connect, and keep the connection under a number."""
    number = next(_numbers)
    _connections[number] = socket.create_connection((host, port))
    return number


def begin_connecting(host: str, port: int) -> int:
    """Begin to connect, and keep the connection under a number; see `connected`."""
    number = next(_numbers)
    sock = _connections[number] = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.connect_ex((host, port))
    return number


def connected(number: int, seconds: float) -> str:
    """Wait for so long; "connected", "pending", or the errno's name with which it failed."""
    sock = _connections[number]
    if not select.select([], [sock], [], seconds)[1]:
        return "pending"
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    sock.settimeout(PATIENCE)
    return errno.errorcode[error] if error else "connected"


def exit_at_once(status: int) -> None:
    """End without closing anything first."""
    os._exit(status)


def close_all() -> None:
    """Close all connections that are open."""
    while _connections:
        _connections.popitem()[1].close()


def open_connections(host: str, port: int, count: int) -> None:
    """Open many and keep them."""
    address = look_up(host)[0]
    for _ in range(count):
        open_connection(address, port)


def use_all() -> None:
    """Have each open connection to an echo carry a byte there and back."""
    for number in _connections:
        send(number, b"?")
        receive(number, 1)


def send(number: int, data: bytes) -> None:
    """Send all of it."""
    _connections[number].sendall(data)


def send_and_await_acknowledgement(number: int, data: bytes) -> None:
    """Send, and wait until the peer's kernel has all of it; SIOCOUTQ of tcp(7)."""
    send(number, data)
    while struct.unpack("i", fcntl.ioctl(_connections[number], termios.TIOCOUTQ, bytes(4)))[0]:
        time.sleep(0.001)


def end_sending(number: int) -> None:
    """Close one direction."""
    _connections[number].shutdown(socket.SHUT_WR)


def receive(number: int, size: int) -> bytes:
    """Receive so much, exactly."""
    return _exactly(_connections[number], size)


def receive_to_end(number: int) -> tuple[bytes, str]:
    """Receive all there is; tell whether the end was a FIN ("fin") or which error."""
    received = bytearray()
    try:
        while data := _connections[number].recv(_PIECE):
            received += data
    except OSError as error:
        return bytes(received), type(error).__name__
    return bytes(received), "fin"


def reset(number: int) -> None:
    """Close with RST."""
    sock = _connections.pop(number)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def close(number: int) -> None:
    """Close."""
    _connections.pop(number).close()


def refused(host: str, port: int) -> str:
    """Connect where nobody listens; tell the errno, of connect(2) or of what came after it."""
    try:
        with socket.create_connection((host, port)) as sock:
            return "fin" if not sock.recv(1) else "data"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def handshake(host: str, port: int, name: str = "") -> str:
    """Begin TLS, `name` being the server's, or the host; "done", or how it failed."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port)) as sock,
            context.wrap_socket(sock, server_hostname=name or host),
        ):
            return "done"
    except OSError as error:
        return type(error).__name__


def ask_in_pieces(host: str, port: int, *pieces: bytes) -> tuple[bytes, str]:
    """Send the pieces, each once the one before has arrived; give all that comes, and its end."""
    number = open_connection(host, port)
    try:
        for piece in pieces:
            send_and_await_acknowledgement(number, piece)
    except OSError as error:
        return b"", type(error).__name__
    return receive_to_end(number)


# Bulk


def download(host: str, port: int, size: int) -> tuple[str, str]:
    """Ask a `source` for so many bytes; the SHA-256 of what came, and the one it told."""
    number = open_connection(host, port)
    send(number, b"%d\n" % size)
    digest = hashlib.sha256()
    consume(number, size, digest)
    told, _end = receive_to_end(number)
    close(number)
    return digest.hexdigest(), told.decode()


def consume(number: int, size: int, digest: Any = None) -> None:
    """Receive so much and keep nothing of it."""
    buffer = memoryview(bytearray(_PIECE))
    while size:
        count = _connections[number].recv_into(buffer[: min(size, _PIECE)])
        if not count:
            raise EOFError(f"{size} bytes before the end")
        if digest is not None:
            digest.update(buffer[:count])
        size -= count


def upload(host: str, port: int, size: int) -> tuple[str, str]:
    """Send so many bytes to a `sink`; their SHA-256, and the one it told."""
    from tests.support.internet.servers.plain import pattern

    number = open_connection(host, port)
    _connections[number].settimeout(None)
    digest = hashlib.sha256()
    for block in pattern(size):
        digest.update(block)
        send(number, block)
    end_sending(number)
    told, _end = receive_to_end(number)
    close(number)
    return digest.hexdigest(), told.decode()


def exchange_small(host: str, port: int, count: int, workers: int) -> int:
    """Make short connections to an echo, from some threads; count those without any fault."""
    address = look_up(host, socket.AF_INET)[0]
    with ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(lambda number: _is_echoed(address, port, number), range(count)))


def _is_echoed(address: str, port: int, number: int) -> bool:
    token = number.to_bytes(8, "big") * (number % 500 + 1)
    received = bytearray()
    with socket.create_connection((address, port)) as sock:
        sock.sendall(token)
        sock.shutdown(socket.SHUT_WR)
        while data := sock.recv(_PIECE):
            received += data
    return received == token


def _exactly(sock: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        data = sock.recv(size - len(received))
        if not data:
            raise EOFError(f"{size - len(received)} bytes before the end")
        received += data
    return bytes(received)
