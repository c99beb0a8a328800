"""A server of the host's loopback: tells its port, then writes to stdout whatever comes.

python listener.py ADDRESS PORT
"""

import os
import socket
import sys


def main(address: str, port: str) -> None:
    """Serve until it is killed."""
    with socket.create_server((address, int(port))) as listener:
        os.write(1, f"{listener.getsockname()[1]}\n".encode())
        while True:
            connection, _address = listener.accept()
            with connection:
                connection.settimeout(1)
                os.write(1, connection.recv(4096))


if __name__ == "__main__":
    main(*sys.argv[1:])
