"""`keepline sidecar ready`: asks the pod's relay, from any of its containers, whether it is ready.

For exec probes, and for what has to wait before the pod's programs start. Standard library alone,
and little of it: a probe starts each few seconds.
"""

import socket
import time
from collections.abc import Sequence
from typing import Final

from netns.network.pod import HTTP_PORT
from relay.flags import Parser
from relay.printing import write_lines

END: Final = "127.0.0.1", HTTP_PORT
_REQUEST: Final = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_LONGEST: Final = 65536
_SECONDS: Final = 5.0
"""For an answer."""
_PAUSE: Final = 0.05
"""Seconds between two questions, where it is waited for."""


def main(arguments: Sequence[str]) -> int:
    """Print whether the relay is ready; return 0 if it is, else 1."""
    parser = Parser(
        prog="keepline sidecar ready", description="Ask whether the relay of this pod is ready."
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=0.0,
        help="wait for it, so long at most (0)",
    )
    until = time.monotonic() + parser.parse_args(arguments).wait
    while True:
        is_ready, told = asked()
        if is_ready or time.monotonic() >= until:
            write_lines([told])
            return 0 if is_ready else 1
        time.sleep(_PAUSE)


def _seconds(text: str) -> float:
    """Read how long to wait, for ever by `inf`."""
    seconds = float(text)
    if not seconds >= 0:  # nor a NaN, which is never over
        raise ValueError
    return seconds


def asked() -> tuple[bool, str]:
    """Return whether the relay is ready, and what it says of that."""
    try:
        answer = _answer()
    except OSError as error:
        return False, f"not ready: nobody answers at port {HTTP_PORT}: {error.strerror or error}"
    head, _, body = answer.partition(b"\r\n\r\n")
    told = body.decode(errors="replace").strip()
    if head.startswith(b"HTTP/1.1 200 "):
        return True, told
    return False, told or f"not ready: what answers at port {HTTP_PORT} is not a relay"


def _answer() -> bytes:
    """Return the whole answer; raises OSError."""
    answer = b""
    with socket.create_connection(END, _SECONDS) as sock:
        sock.sendall(_REQUEST)
        while len(answer) < _LONGEST and (piece := sock.recv(_LONGEST)):
            answer += piece
    return answer
