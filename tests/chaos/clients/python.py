"""The client for what fetch cannot do: raw bytes, resets told from ends, timestamps of its kernel.

An order names a function of this file; each runs in a thread of its own. Connections that
`fetch` keeps are looked at before they are used again, as Bun and Node do.
"""

import base64
import contextlib
import hashlib
import json
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

_PIECE: Final = 1 << 16
_SILENCE: Final = 3.0

_write = threading.Lock()
_pool: list[HTTPConnection] = []
_sockets: dict[int, socket.socket] = {}
_dialling: list[socket.socket] = []


def main() -> None:
    """Take orders until stdin ends."""
    _tell({"ready": True})
    for line in sys.stdin:
        threading.Thread(target=_follow, args=(json.loads(line),), daemon=True).start()


def _follow(order: dict[str, Any]) -> None:
    number, function = order.pop("id"), _ORDERS[order.pop("do")]
    answer: dict[str, Any] = {"id": number, "error": None}

    def tell(what: str) -> None:
        _tell({"id": number, what: True})

    try:
        answer |= function(**order, **({"tell": tell} if function is fetch else {}))
    except (OSError, HTTPException) as error:
        answer["error"] = f"{type(error).__name__} {error}"
    _tell(answer | {"at": time.monotonic()})


def _tell(answer: dict[str, Any]) -> None:
    with _write:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def fetch(url: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """GET by a pooled connection, or a new one."""
    parts = urlsplit(url)
    connection = _pooled(parts.hostname or "", parts.port) or _new(parts.scheme, parts.netloc)
    digest, size, last = hashlib.sha256(), 0, time.monotonic()
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        while piece := answer.read1(_PIECE):
            digest.update(piece)
            if not size:
                tell("started")
            elif time.monotonic() - last > _SILENCE:
                tell("resumed")
            last = time.monotonic()
            size += len(piece)
        answer.close()  # read1 does not, and the connection could not be used again
    except BaseException:
        connection.close()
        raise
    if connection.sock is not None and not answer.length:
        _pool.append(connection)
    error = None if answer.status == 200 else f"status {answer.status}"
    if answer.length:
        error = f"{answer.length} bytes of the body are missing"
    return {"size": size, "sha256": digest.hexdigest(), "error": error}


def drop_pool() -> dict[str, Any]:
    """Close the kept connections: those that have ended would stay half open."""
    while _pool:
        _pool.pop().close()
    return {}


def _pooled(host: str, port: int | None) -> HTTPConnection | None:
    """Take a kept connection whose end has not come; the pool is one host's."""
    while True:
        try:
            connection = _pool.pop()
        except IndexError:
            return None
        sock = connection.sock
        if sock is not None and not select.select([sock], [], [], 0)[0]:
            return connection
        connection.close()


def _new(scheme: str, netloc: str) -> HTTPConnection:
    if scheme == "https":
        return HTTPSConnection(netloc, context=ssl.create_default_context())
    return HTTPConnection(netloc)


def connect(host: str, port: int, key: int) -> dict[str, Any]:
    """Open a connection and keep it under a key."""
    _sockets[key] = socket.create_connection((host, port))
    return {}


def exchange(key: int, data: str, size: int) -> dict[str, Any]:
    """Send, and receive so many bytes."""
    sock = _sockets[key]
    sock.sendall(base64.b64decode(data))
    received = b""
    while len(received) < size and (piece := sock.recv(size - len(received))):
        received += piece
    return {"data": base64.b64encode(received).decode()}


def end(key: int, data: str = "") -> dict[str, Any]:
    """Send, then receive to the end: `end` says how it ended, "fin" or "reset"."""
    sock = _sockets.pop(key)
    digest, size, how = hashlib.sha256(), 0, "fin"
    with sock:
        try:
            sock.sendall(base64.b64decode(data))
            while piece := sock.recv(_PIECE):
                digest.update(piece)
                size += len(piece)
        except (ConnectionResetError, BrokenPipeError):
            how = "reset"
        at = time.monotonic()
    return {"end": how, "size": size, "sha256": digest.hexdigest(), "ended": at}


def dial_many(addresses: list[str], port: int) -> dict[str, Any]:
    """Dial them all at once and let them wait."""
    for address in addresses:
        sock = socket.socket()
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect((address, port))
        _dialling.append(sock)
    return {}


_ORDERS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    function.__name__: function
    for function in (fetch, drop_pool, connect, exchange, end, dial_many)
}

if __name__ == "__main__":
    main()
