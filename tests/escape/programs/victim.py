"""A process of the user's on the host, which has a secret: run by itself, it is told by argv.

`victim.py ADDRESS PORT`: connects there, tells pid, its memory's address and its socket's number,
and waits until stdin ends.
"""

import ctypes
import os
import socket
import sys


def main() -> None:
    """Be there."""
    secret = os.environb[b"VICTIMS_SECRET"]
    memory = ctypes.create_string_buffer(secret, 64)
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
    os.write(1, f"{ctypes.addressof(memory)} {connection.fileno()}\n".encode())
    os.read(0, 1)


if __name__ == "__main__":
    main()
