"""A server of the host's loopback: tells its port, then writes to stdout whatever comes."""

import os
import socket


def main() -> None:
    """Serve until it is killed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.write(1, f"{listener.getsockname()[1]}\n".encode())
        while True:
            connection, _address = listener.accept()
            with connection:
                connection.settimeout(1)
                os.write(1, connection.recv(4096))


if __name__ == "__main__":
    main()
