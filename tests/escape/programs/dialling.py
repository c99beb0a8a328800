"""Ways by a connection of TCP: where it goes, from where, and by what name."""

import contextlib
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from .met import attempt

SECONDS: Final = 3.0


def dial(facts: Any, host: str, port: int) -> None:
    """Connect, and send the token."""
    with socket.create_connection((host, port), SECONDS) as connection:
        connection.sendall(facts.token.encode())


def target(facts: Any) -> None:
    """Dial what the row names, by whatever name or number."""
    dial(facts, facts.host, facts.port)


def numbers(facts: Any) -> None:
    """Dial a denied address in all its forms, inet_aton(3)."""
    value = struct.unpack("!I", socket.inet_aton(facts.denied))[0]
    first, second, third, fourth = facts.denied.split(".")
    octal = ".".join(f"0{int(part):o}" for part in facts.denied.split("."))
    short = f"{first}.{second}.{(int(third) << 8) | int(fourth)}"
    for form in (str(value), hex(value), octal, short, f"{facts.denied}."):
        with attempt():
            dial(facts, form, facts.port)


def mapped(facts: Any) -> None:
    """Dial IPv4 by a socket of IPv6, RFC 4038, also with the deprecated and the translated form."""
    first, second = facts.denied_words
    for form in (f"::ffff:{facts.denied}", f"::{facts.denied}", f"64:ff9b::{first}:{second}"):
        with attempt(), socket.socket(socket.AF_INET6) as connection:
            connection.settimeout(SECONDS)
            connection.connect((form, facts.port))
            connection.sendall(facts.token.encode())


def twice(facts: Any) -> None:
    """Look a name up, and connect by name several times, while its address changes."""
    for _ in range(4):
        with attempt():
            socket.getaddrinfo(facts.host, facts.port)
        with attempt():
            dial(facts, facts.host, facts.port)


def unspecified(facts: Any) -> None:
    """Dial all that may mean the host's loopback."""
    numbers = ("127.0.0.1", "0.0.0.0", "127.1.2.3", "::ffff:127.0.0.1", "0", "::1", "::")
    for host in (*numbers, "localhost", "host.internal", "host.docker.internal"):
        with attempt():
            dial(facts, host, facts.loopback_port)


def loopback_names(facts: Any) -> None:
    """Dial names whose addresses are loopback or unspecified."""
    for host in facts.hosts:
        with attempt():
            dial(facts, host, facts.loopback_port)


def bound(facts: Any) -> None:
    """Dial from addresses that are not one's own, and by each interface."""
    for source in ("", facts.client, facts.gateway, "127.0.0.1", "198.18.0.1"):
        for _index, device in [(0, ""), *socket.if_nameindex()]:
            with attempt(), socket.socket() as connection:
                connection.settimeout(0.5)
                if device:
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode()
                    )
                if source:
                    connection.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
                    connection.bind((source, 0))
                connection.connect((facts.denied, facts.port))
                connection.sendall(facts.token.encode())


def marked(facts: Any) -> None:
    """Dial with the marks of the relay."""
    for mark in facts.marks:
        with attempt(), socket.socket() as connection:
            connection.settimeout(SECONDS)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            connection.connect((facts.denied, facts.port))
            connection.sendall(facts.token.encode())


def fast_open(facts: Any) -> None:
    """Send data with the SYN, RFC 7413."""
    with socket.socket() as connection:
        timeout = struct.pack("@ll", int(SECONDS), 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        flag = getattr(socket, "MSG_FASTOPEN", 0x20000000)
        connection.sendto(facts.token.encode(), flag, (facts.denied, facts.port))


def multipath(facts: Any) -> None:
    """Dial by multipath TCP, RFC 8684."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as connection:
        connection.settimeout(SECONDS)
        connection.connect((facts.denied, facts.port))
        connection.sendall(facts.token.encode())


def source_route(facts: Any) -> None:
    """Dial with a source route, RFC 791: loose, through the gateway."""
    route = bytes([131, 7, 4, *socket.inet_aton(facts.gateway), 1])
    with socket.socket() as connection:
        connection.settimeout(SECONDS)
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, route)
        connection.connect((facts.server, 80))
        connection.sendall(b"by another way")


def other_sni(facts: Any) -> None:
    """Dial an allowed host, and name another in the ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(
        incoming, outgoing, server_hostname=f"{facts.token}.other.test"
    )
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection((facts.host, 443), SECONDS) as connection:
        connection.sendall(outgoing.read())
        connection.recv(1)


def other_host(facts: Any) -> None:
    """Dial an allowed host, and name another in the request."""
    request = f"GET / HTTP/1.1\r\nHost: {facts.token}.other.test\r\n\r\n"
    with socket.create_connection((facts.host, 80), SECONDS) as connection:
        connection.sendall(request.encode())
        connection.recv(1)


def without_relay(facts: Any) -> None:
    """Kill the relay, outlive it, and dial."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.kill(facts.relay, signal.SIGKILL)
    until = time.monotonic() + 2
    while Path(f"/proc/{facts.relay}/fd").exists() and time.monotonic() < until:
        time.sleep(0.01)
    for host, port in ((facts.server, 80), (facts.denied, facts.port)):
        with attempt():
            dial(facts, host, port)


def left_behind(facts: Any) -> None:
    """Leave a process that dials when the session has ended."""
    code = (
        "import pathlib, socket, sys, time\n"
        "ended, said = map(pathlib.Path, sys.argv[1:3])\n"
        "until = time.monotonic() + 60\n"
        "while not ended.exists() and time.monotonic() < until: time.sleep(0.01)\n"
        "try:\n"
        "    with socket.create_connection((sys.argv[3], 80), 2) as s:\n"
        "        s.sendall(sys.argv[4].encode())\n"
        "finally: said.touch()\n"
    )
    here = Path.cwd()
    argv = [sys.executable, "-I", "-c", code, str(here / "ended"), str(here / "said")]
    subprocess.Popen(
        [*argv, facts.server, facts.token],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def looser_settings(facts: Any) -> None:
    """Rewrite the settings, and dial what they have denied."""
    path = Path(facts.config)
    for text in ("", "mode = 'open'\n", "[policy]\nmode = 'open'\n"):
        path.write_text(text)
        until = time.monotonic() + 1.2
        while time.monotonic() < until:
            with attempt():
                dial(facts, facts.denied, facts.port)
            time.sleep(0.2)
