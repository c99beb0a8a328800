"""A program inside that listens and closes as it is told on stdin, and echoes what it is sent.

`listen ADDRESS PORT` and `close PORT` are each answered by the same line, or by the errno. A
connection gets all back that it sends, and `end` at its end; one that sends `reset` is reset.
`address PORT` tells from where the last connection to a port came; `dial ADDRESS PORT` is answered
by the same line if it gets through.
"""

import asyncio
import errno
import socket
import sys
from typing import Final

_MODULE: Final = "tests.support.command.serving"

_servers: dict[int, list[asyncio.Server]] = {}
_peers: dict[int, str] = {}


def serving() -> list[str]:
    """Return its command line."""
    return [sys.executable, "-I", "-m", _MODULE]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    _peers[sock.getsockname()[1]] = sock.getpeername()[0]
    try:
        while data := await reader.read(1 << 16):
            if data == b"reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                return
            writer.write(data)
            await writer.drain()
        writer.write(b"end")
        await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _do(words: list[str]) -> str:
    match words:
        case ["listen", address, port]:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((address, int(port)))
            except OSError as error:
                return errno.errorcode[error.errno or 0]
            server = await asyncio.start_server(_echo, sock=sock, backlog=1000)
            _servers.setdefault(int(port), []).append(server)
        case ["close", port]:
            for server in _servers.pop(int(port)):
                server.close()
        case ["dial", address, port]:
            try:
                _reader, writer = await asyncio.open_connection(address, int(port))
            except OSError as error:
                return errno.errorcode[error.errno or 0]
            writer.close()
        case ["address", port]:
            return _peers.get(int(port), "")
        case _:
            return "?"
    return " ".join(words)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        sys.stdout.write(f"{await _do(line.split())}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main())
