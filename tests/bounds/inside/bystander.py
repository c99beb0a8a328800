"""Another program of the session: it looks new names up and connects, and tells its longest wait.

await program(bystander.begin, ADDRESS, PORT)   # the flood comes after it
waited, tries = await program(bystander.end)
"""

import contextlib
import json
import select
import socket
import subprocess
import sys
import time
from typing import Final

NAMES: Final = 200
ZONE: Final = "bystander.test"
PAUSE: Final = 0.2
_PATIENCE: Final = 30.0
_CODE: Final = "from tests.bounds.inside.bystander import main; main()"

_running: list[subprocess.Popen[bytes]] = []


def name(number: int) -> str:
    """Return one of the names that it asks for, each once."""
    return f"by{number}.{ZONE}"


def begin(address: str, port: int) -> None:
    """Start it; it has had its first answer when this returns."""
    argv = [sys.executable, "-I", "-c", _CODE, address, str(port)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, start_new_session=True)
    _running.append(process)
    assert process.stdout is not None
    process.stdout.readline()


def end() -> tuple[float, int, list[str]]:
    """Stop it; return the seconds of its longest wait, its tries, and what failed."""
    told, _none = _running.pop().communicate(b"\n")
    waited, tries, failures = json.loads(told)
    return waited, tries, failures


def main() -> None:
    """Try again and again, until a line comes on stdin."""
    address, port = sys.argv[1], int(sys.argv[2])
    longest, tries, failures = 0.0, 0, list[str]()
    socket.setdefaulttimeout(_PATIENCE)
    while tries < NAMES:
        began = time.monotonic()
        try:
            _try(name(tries), address, port)
        except OSError as error:
            failures.append(f"try {tries}: {error}")
        longest = max(longest, time.monotonic() - began)
        tries += 1
        if tries == 1:
            sys.stdout.write("ready\n")
            sys.stdout.flush()
        if _is_over():
            break
    sys.stdout.write(json.dumps([longest, tries, failures[:5]]))


def _try(host: str, address: str, port: int) -> None:
    found = socket.gethostbyname(host)
    for where in (found, address):
        with contextlib.closing(socket.create_connection((where, port))) as sock:
            sock.sendall(b"?")
            if sock.recv(1) != b"?":
                raise OSError("no echo")


def _is_over() -> bool:
    return bool(select.select([sys.stdin], [], [], PAUSE)[0])
