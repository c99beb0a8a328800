"""A program in the namespace that makes sockets there and passes them out: its stdin is the way.

Each message asks for as many as its first byte says of TCP, and one of UDP: SCM_RIGHTS, unix(7).
"""

import socket


def main() -> None:
    """Serve until the other end is closed."""
    with socket.socket(fileno=0) as way:
        while request := way.recv(1):
            made = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(request[0])]
            made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            socket.send_fds(way, [b"."], [sock.fileno() for sock in made])
            for sock in made:
                sock.close()


if __name__ == "__main__":
    main()
