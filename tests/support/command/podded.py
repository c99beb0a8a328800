"""A program in a pod, run by `python -I`: does what its arguments say, prints what came of each.

The first argument is its user. Of the others each is one of these, as a word:

    tcp ADDRESS PORT        what the server sent, or the error's name; `soon` the same, in 0.3 s
    from SOURCE ADDRESS PORT, by DEVICE ADDRESS PORT    the same, bound to an address or a device
    udp ADDRESS PORT        what came back; `own ADDRESS` the source that it would have
    dns ADDRESS, dns-tcp ADDRESS    what came back from port 53
    ping ADDRESS            what came of an echo request
    raw ADDRESS PROTOCOL    what came of sending a packet of that protocol, ip(7)
    serve PORT              says `ready`, answers a datagram, then a connection, with `pod`
    hold ADDRESS PORT       says `ready` when it is connected, and sends its lines to be echoed
"""

import encodings.idna  # noqa: F401 - while its file can be read
import errno
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

PATIENCE = 5
SHORT = 0.3


def what_came_of(function: Callable[..., str], *arguments: str) -> str:
    try:
        return function(*arguments)
    except TimeoutError:
        return "nothing"
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def dial(
    address: str, port: str, source: str = "", device: str = "", patience: float = PATIENCE
) -> str:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.settimeout(patience)
        if source:
            sock.bind((source, 0))
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.connect((address, int(port)))
        return sock.makefile().read()


def udp(address: str, port: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((address, int(port)))
        sock.send(b"?")
        return sock.recv(100).decode()


def own(address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 443))
        name: str = sock.getsockname()[0]
        return name


def ping(address: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((address, 0))
        sock.send(b"\x08" + bytes(7))
        return sock.recv(100).hex()


def raw(address: str, protocol: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, int(protocol)) as sock:
        sock.sendto(bytes(40), (address, 0))
        return "sent"


def serve(port: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked, socket.socket() as listener:
        asked.bind(("0.0.0.0", int(port)))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", int(port)))
        listener.listen()
        say("ready\n")
        _, peer = asked.recvfrom(100)
        asked.sendto(b"pod", peer)
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"pod")
    return "served"


def hold(address: str, port: str) -> str:
    with socket.create_connection((address, int(port)), PATIENCE) as sock:
        say("ready\n")
        for line in sys.stdin:
            sock.sendall(line.encode())
            say(sock.recv(100).decode())
    return "ended"


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


DOES: dict[str, Callable[..., Any]] = {
    "tcp": dial,
    "soon": lambda address, port: dial(address, port, patience=SHORT),
    "from": lambda source, address, port: dial(address, port, source=source),
    "by": lambda device, address, port: dial(address, port, device=device, patience=SHORT),
    "udp": udp,
    "own": own,
    "dns": lambda address: udp(address, "53"),
    "dns-tcp": lambda address: dial(address, "53"),
    "ping": ping,
    "raw": raw,
    "serve": serve,
    "hold": hold,
}

if __name__ == "__main__":
    uid = int(sys.argv[1])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    asks = [each.split() for each in sys.argv[2:]]
    say(json.dumps([what_came_of(DOES[words[0]], *words[1:]) for words in asks]) + "\n")
