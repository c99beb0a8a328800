"""Who listens at a port of the loopback: a process, one that it has started, or another one."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from relay.auto_ports.owner import listener, serves
from tests.support.machine.limits import at_the_limit

_LISTEN = """
import socket, sys
sock = socket.create_server((sys.argv[1], int(sys.argv[2])), family=int(sys.argv[3]))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""

_BETWEEN = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@contextmanager
def another(
    address: str = "127.0.0.1", port: int = 0, *, between: bool = False
) -> Iterator[tuple[int, int]]:
    """Yield the process id of a new process, and the port at which it, or its child, listens."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    words = [_LISTEN, address, str(port), str(int(family))]
    command = [sys.executable, "-c", *([_BETWEEN] if between else []), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.stdin.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_it_listens_itself(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        assert serves(os.getpid(), server.getsockname()[1])


def test_it_listens_on_all_addresses_of_both_families() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        assert serves(os.getpid(), server.getsockname()[1])


def test_one_that_it_has_started_listens() -> None:
    with another() as (pid, port):
        assert serves(os.getpid(), port)
        assert serves(pid, port)


def test_one_that_another_has_started_does_not_count() -> None:
    with another(between=True) as (pid, port):
        assert serves(pid, port)
        assert not serves(os.getpid(), port)


def test_another_process_is_none_of_its_own() -> None:
    with another() as (_, port), another() as (pid, _):
        assert not serves(pid, port)


def test_two_who_share_a_port_by_their_families() -> None:
    with another() as (pid, port), another("::1", port) as (second, _):
        assert not serves(pid, port)
        assert not serves(second, port)


def test_nobody_listens() -> None:
    with ExitStack() as opened:
        bound = opened.enter_context(socket.socket())
        bound.bind(("127.0.0.1", 0))
        assert not serves(os.getpid(), bound.getsockname()[1])


def test_it_cannot_be_found_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, at_the_limit():
        assert not serves(os.getpid(), server.getsockname()[1])
        assert not listener(server.getsockname())


def test_which_socket_would_take_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listener(("127.0.0.1", port)) == os.fstat(server.fileno()).st_ino
        assert {listener(("127.0.0.1", port))} == serves(os.getpid(), port)
        assert not listener(("::1", port))
        assert not listener(("127.0.0.5", port))


def test_a_process_that_has_ended() -> None:
    with another() as (pid, _):
        pass
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not serves(pid, server.getsockname()[1])
