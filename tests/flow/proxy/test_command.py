"""`keepline proxy`, as it is started, serves until it is told to end by what it is to heed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pace import patience

ROOT = Path(__file__).parents[3]


def test_it_outlives_a_terminal_that_nohup_has_it_ignore(tmp_path: Path) -> None:
    """A blocked signal, or one with a handler, would be heard though it is ignored."""
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "relay", "proxy", "--open", "--gateway=off"]
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            argv, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    with process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline().decode()
            port = int(told.rpartition(":")[2])
            is_served(port)
            process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):  # it would end at once
                process.wait(0.5)
            is_served(port)
            process.send_signal(signal.SIGTERM)
            assert process.wait(patience(20)) == 0
        finally:
            process.kill()


def is_served(port: int) -> None:
    """See that the proxy answers: it has begun to read signals by then."""
    with socket.create_connection(("127.0.0.1", port), patience(20)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 404 ")
