"""Connects in ways that few programs do, and tells what it met: `net.py WHAT HOST PORT ...`.

It stands alone: nothing but Python's own modules.
"""

import asyncio
import errno
import fcntl
import resource
import select
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

_MPTCP: Final = 262  # IPPROTO_MPTCP of linux/in.h
_FASTOPEN: Final = 0x20000000  # MSG_FASTOPEN of linux/socket.h
_NO_COOKIE: Final = 34  # TCP_FASTOPEN_NO_COOKIE of linux/tcp.h: the first SYN carries data
_SIOCGIFFLAGS: Final = 0x8913  # netdevice(7)
_SIOCGIFNETMASK: Final = 0x891B
_IFF_RUNNING: Final = 0x40
_PATIENCE: Final = 30.0
_SETTLED: Final = 0.5
_WATCHED: Final = 5.0


def connect(host: str, port: str, timeout: str = "") -> str:
    """Connect, with a time-out in seconds if one is given."""
    with socket.create_connection((host, int(port)), float(timeout) if timeout else None):
        return "connected"


def poll(host: str, port: str, timeout: str) -> str:
    """Connect without blocking and wait by poll(2) for so many seconds."""
    with socket.socket() as sock:
        sock.setblocking(False)
        begun = sock.connect_ex((host, int(port)))
        assert begun == errno.EINPROGRESS, errno.errorcode[begun]
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        if not poll.poll(float(timeout) * 1000):
            return "nothing yet"
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return errno.errorcode[number] if number else "connected"


def streams(host: str, port: str, timeout: str) -> str:
    """Connect by asyncio, and cancel that after some seconds."""

    async def connect() -> str:
        async with asyncio.timeout(float(timeout)):
            _reader, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return "connected"

    return asyncio.run(connect())


def many(host: str, port: str, count: str, timeout: str) -> str:
    """Begin so many connects at once; count what becomes of them within some seconds."""
    poll = select.poll()
    waiting = {}
    address = socket.gethostbyname(host)
    for _ in range(int(count)):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex((address, int(port)))
        waiting[sock.fileno()] = sock
        poll.register(sock, select.POLLOUT)
    ends: Counter[str] = Counter()
    deadline = time.monotonic() + float(timeout)
    kept = []
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _event in poll.poll(left * 1000):
            poll.unregister(descriptor)
            sock = waiting.pop(descriptor)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            ends[errno.errorcode[number] if number else "connected"] += 1
            kept.append(sock)
    ends["nothing yet"] += len(waiting)
    return ", ".join(f"{number} {end}" for end, number in sorted(ends.items()) if number)


def flood(host: str, port: str, count: str, other: str) -> str:
    """Begin so many connects, leave them waiting, and connect to another host."""
    waiting = [socket.socket() for _ in range(int(count))]
    for sock in waiting:
        sock.setblocking(False)
        sock.connect_ex((host, int(port)))
    with socket.create_connection((other, int(port)), _PATIENCE):
        return "connected"


def again(host: str, port: str) -> str:
    """Connect, and 2 s later again, to the address that was looked up first."""
    address = (socket.gethostbyname(host), int(port))
    for pause in (2, 0):
        with socket.create_connection(address, _PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            while sock.recv(1 << 16):
                pass
        time.sleep(pause)
    return "connected twice"


def burst(host: str, port: str, count: str) -> str:
    """Make so many connections, one after the other, and another one half a second later."""
    address = (socket.gethostbyname(host), int(port))
    for _ in range(int(count)):
        socket.create_connection(address, _PATIENCE).close()
    time.sleep(_SETTLED)
    with socket.create_connection(address, 2) as sock:
        try:
            return f"connected, then {sock.recv(16).decode() or 'end'}"
        except OSError as error:
            return f"connected, then {_name(error)}"


def fastopen(host: str, port: str) -> str:
    """Send data with the SYN, by TCP fast open, and read the echo."""
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, _NO_COOKIE, 1)
        sock.sendto(b"hello", _FASTOPEN, (socket.gethostbyname(host), int(port)))
        return sock.recv(16).decode()


def option(host: str, port: str, name: str, value: str) -> str:
    """Connect with an option of TCP that limits how long it tries, tcp(7)."""
    with socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), int(value))
        sock.connect((socket.gethostbyname(host), int(port)))
        return "connected"


def shut(host: str, port: str) -> str:
    """Shut a connect down while it waits; what becomes of it is told at once, connect(2)."""
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex((socket.gethostbyname(host), int(port)))
        time.sleep(_SETTLED)
        sock.shutdown(socket.SHUT_RDWR)
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        ready = poll.poll(_WATCHED * 1000)
        return f"{len(ready)} event, {errno.errorcode[sock.connect_ex((host, int(port)))]}"


def mptcp(host: str, port: str) -> str:
    """Connect by MPTCP to a server that has none, and read the echo."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, _MPTCP) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect((host, int(port)))
        sock.sendall(b"hello")
        return sock.recv(16).decode()


def bound(host: str, port: str, own: str, own_port: str) -> str:
    """Connect from an address and a port of our own, and read the echo."""
    source = (own, int(own_port))
    with socket.create_connection((host, int(port)), _PATIENCE, source) as sock:
        sock.sendall(b"hello")
        same = sock.getsockname()[1] == int(own_port)
        return sock.recv(16).decode() + ("" if same else " from another port")


def own(host: str, port: str) -> str:
    """Listen on all addresses, and connect to this server by one of them."""
    with socket.create_server(("0.0.0.0", int(port))):
        return connect(host, port, "5")


def served(host: str, port: str, at: str) -> str:
    """Listen at one address, or all, and say who answers at the other: this server, or another."""
    with socket.create_server((at, int(port))) as server:
        with socket.create_connection((host, int(port)), 5):
            server.settimeout(_SETTLED)
            try:
                server.accept()[0].close()
            except TimeoutError:
                return "another server"
        return "this server"


def later(host: str, port: str) -> str:
    """Listen on all addresses, and connect by one that the host has not yet, until it has."""
    with socket.create_server(("0.0.0.0", int(port))) as server:
        server.settimeout(_SETTLED)
        for _ in range(20):
            try:
                with socket.create_connection((host, int(port)), _SETTLED):
                    server.accept()[0].close()
                    return "this server"
            except OSError:
                time.sleep(0.1)
    return "nobody"


def shown(target: str) -> str:
    """Tell what a program finds out of its own network: address, mask, device and default route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((target, 9))
        device = b"eth0"
        mask = fcntl.ioctl(sock, _SIOCGIFNETMASK, struct.pack("16s24x", device))[20:24]
        flags = struct.unpack_from(
            "H", fcntl.ioctl(sock, _SIOCGIFFLAGS, device.ljust(40, b"\0")), 16
        )
        address = sock.getsockname()[0]
    routes = map(str.split, Path("/proc/net/route").read_text().splitlines())
    defaults = [route[0] for route in routes if route[1] == "00000000"]
    up = "up" if flags[0] & _IFF_RUNNING else "down"
    via = ", ".join(defaults)
    return f"{address}/{socket.inet_ntoa(mask)}, eth0 is {up}, default route by {via}"


def listens(host: str, port: str) -> str:
    """Connect and wait for the server's first word."""
    with socket.create_connection((host, int(port)), _PATIENCE) as sock:
        return sock.recv(16).decode() or "end"


def reset_own(host: str, port: str) -> str:
    """Close with RST while the connect waits, and connect from the same port again."""
    address = (socket.gethostbyname(host), int(port))
    first = socket.socket()
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    first.bind(("0.0.0.0", 45678))
    first.setblocking(False)
    first.connect_ex(address)
    time.sleep(_SETTLED)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()
    with socket.socket() as second:
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        second.bind(("0.0.0.0", 45678))
        second.settimeout(2)
        second.connect(address)
        return "connected"


def closing(host: str, port: str, count: str, family: str, witness: str) -> str:
    """Close so many connects that wait; have a witness look before and after some seconds more."""
    sockets = []
    for _ in range(int(count)):
        made = _socket(family)
        made.setblocking(False)
        address = socket.gethostbyname(host)
        target = f"::ffff:{address}" if family == "v6" else address
        made.connect_ex((target, int(port)))
        sockets.append(made)
    time.sleep(2)
    for made in sockets:
        made.close()
    time.sleep(_SETTLED)
    for pause in (_WATCHED, 0):
        with socket.create_connection((witness, 9), _PATIENCE) as sock:
            sock.recv(1)
        time.sleep(pause)
    return "closed"


def _socket(family: str) -> socket.socket:
    if family == "v6":  # a dual-stack socket, as Java's
        made = socket.socket(socket.AF_INET6)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        return made
    if family == "mptcp":
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, _MPTCP)
    return socket.socket()


_WHAT: Final[dict[str, Callable[..., str]]] = {
    "again": again,
    "bound": bound,
    "burst": burst,
    "closing": closing,
    "connect": connect,
    "fastopen": fastopen,
    "flood": flood,
    "later": later,
    "listens": listens,
    "many": many,
    "mptcp": mptcp,
    "option": option,
    "own": own,
    "poll": poll,
    "reset_own": reset_own,
    "served": served,
    "shown": shown,
    "shut": shut,
    "streams": streams,
}


def _name(error: OSError) -> str:
    """Name what failed; a time-out of the program's own has no number, the kernel's has."""
    if isinstance(error, socket.gaierror):
        names = {getattr(socket, name): name for name in dir(socket) if name.startswith("EAI_")}
        return names[error.errno or 0]
    return errno.errorcode[error.errno] if error.errno else "timed out"


def main(what: str, *arguments: str) -> int:
    """Do it; 0 if it came to something."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    status = 1
    try:
        said = _WHAT[what](*arguments)
        status = 0
    except OSError as error:
        said = _name(error)
    sys.stdout.write(f"said: {said}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
