"""Servers of UNIX sockets on the host's side, and a program that tries to connect to them.

servers = UnixServers(host)             # one process, in the network of the host
servers.serve("/tmp/a/socket")          # listens there; a file that is there is removed first
servers.serve("name", folder="/tmp/a")  # by a relative name
outcome = json.loads(output of [*CONNECT, *paths])   # {path: "connected", "ENOENT", ...}
"""

import json
import subprocess
import sys
from typing import IO, Final, cast

from tests.support.internet.hosts import Host

_SERVE: Final = """
import json, os, socket, sys
held = []
for line in sys.stdin:
    path, folder = json.loads(line)
    os.chdir(folder)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    held.append(server)
    print("listens", flush=True)
"""
_CONNECT: Final = """
import errno, json, socket, sys
if sys.argv[1] == "wait":
    print("ready", flush=True)
    sys.stdin.readline()
def tried(path):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "connected"
print(json.dumps({path: tried(path) for path in sys.argv[2:]}))
"""
CONNECT: Final = (sys.executable, "-I", "-S", "-c", _CONNECT, "now")
CONNECT_LATER: Final = (*CONNECT[:-1], "wait")
"""Says "ready", and waits for a line of stdin."""


class UnixServers:
    """A process that listens wherever it is asked to, until its host is closed."""

    def __init__(self, host: Host) -> None:
        self._process = host.popen(
            [sys.executable, "-I", "-S", "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
        )

    def serve(self, path: str, folder: str = "/") -> str:
        """Listen at a path; return when it does."""
        stdin = cast("IO[bytes]", self._process.stdin)
        stdin.write(json.dumps([path, folder]).encode() + b"\n")
        stdin.flush()
        assert cast("IO[bytes]", self._process.stdout).readline() == b"listens\n"
        return path
