"""Stands in for the relay of a pod, run by `python -I` with its user and its two ports.

Each connection gets what was dialled, and what the server sent or what came of dialling it; one to
port 7 has its lines echoed. Questions get `dns`. `ready` on stdout comes first.
"""

import contextlib
import encodings.idna  # noqa: F401 - while its file can be read
import errno
import os
import select
import socket
import struct
import sys
import threading

SO_ORIGINAL_DST = 80


def listening(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(100)
    return sock


def asked(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    return sock


def dialled(address: str, port: int) -> str:
    try:
        with socket.create_connection((address, port), 5) as sock:
            return sock.makefile().read()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "nothing")


def serve(sock: socket.socket, own_port: int) -> None:
    with sock:
        raw = sock.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
        port, packed = struct.unpack("!2xH4s8x", raw)
        address = socket.inet_ntoa(packed)
        if port == own_port:
            sock.sendall(b"here")
        elif port == 7:
            while data := sock.recv(100):
                sock.sendall(data)
        else:
            sock.sendall(f"{address}:{port} {dialled(address, port)}".encode())


def main(tcp_port: int, dns_port: int) -> None:
    listener = listening("127.0.0.1", tcp_port)
    of_dns = [listening("127.0.0.1", dns_port), asked("127.0.0.1", dns_port)]
    with contextlib.suppress(OSError):  # IPv6 may be disabled
        of_dns += [listening("::1", dns_port), asked("::1", dns_port)]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for sock in select.select([listener, *of_dns], [], [])[0]:
            if sock is listener:
                arguments = (sock.accept()[0], tcp_port)
                threading.Thread(target=serve, args=arguments, daemon=True).start()
            elif sock.type == socket.SOCK_STREAM:
                with sock.accept()[0] as accepted:
                    accepted.sendall(b"dns")
            else:
                sock.sendto(b"dns", sock.recvfrom(100)[1])


if __name__ == "__main__":
    uid = int(sys.argv[1])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    main(*map(int, sys.argv[2:]))
