"""The demo's client: one plain connection, no keepalive, no retry; tells what happens as JSON.

    python client.py NAME PORT IDLE DEADLINE

It connects to the addresses of NAME in the order the system gives them, asks, and if IDLE is
not 0 stays idle for so many seconds and asks again on the same connection. Connecting and each
answer may take DEADLINE seconds. After each event it waits for a line on its standard input.
It imports nothing but the standard library.
"""

import json
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: demo\r\n\r\n"


def main() -> int:
    name, port, idle, deadline = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    try:
        with connect(name, port, float(deadline)) as connection:
            ask(connection)
            if idle:
                time.sleep(idle)
                tell("idle", idle)
                ask(connection)
    except OSError:
        return 1
    return 0


def connect(name: str, port: int, deadline: float) -> socket.socket:
    """Try one address after the other until the deadline, as plain clients do."""
    started = time.monotonic()
    failure = "no address"
    for family, kind, protocol, _, address in socket.getaddrinfo(
        name, port, type=socket.SOCK_STREAM
    ):
        left = started + deadline - time.monotonic()
        if left <= 0:
            break
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(left)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = f"{'IPv6' if family == socket.AF_INET6 else 'IPv4'} {error}"
            continue
        connection.settimeout(deadline)
        tell("connected", time.monotonic() - started)
        return connection
    tell("failed", time.monotonic() - started, failure)
    raise TimeoutError(failure)


def ask(connection: socket.socket) -> None:
    """Send one request and wait for its whole answer."""
    started = time.monotonic()
    answer = b""
    try:
        connection.sendall(REQUEST)
        while not answer.endswith(b"hello"):
            received = connection.recv(4096)
            if not received:
                raise ConnectionError("closed")
            answer += received
    except OSError as error:
        tell("failed", time.monotonic() - started, str(error))
        raise
    tell("answered", time.monotonic() - started)


def tell(what: str, seconds: float, detail: str = "") -> None:
    """Write one event, and wait for a line: so long the demo looks at the kernel's tables."""
    event = {"what": what, "seconds": seconds, "detail": detail}
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    sys.exit(main())
