"""The relay of Docker's container has a folder of its own, and ends with keepline, however."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pace import patience

ENGINE = """#!/bin/sh
echo runs
exec cat
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return one in which docker is a program that runs until its stdin ends."""
    for name in ("bin", "runtime", "state"):
        (tmp_path / name).mkdir(mode=0o700)
    engine = tmp_path / "bin/docker"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    kept = {name: text for name, text in os.environ.items() if not name.startswith("KEEPLINE_")}
    return kept | {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": f"{tmp_path}/runtime",
        "XDG_STATE_HOME": f"{tmp_path}/state",
        "XDG_CONFIG_HOME": f"{tmp_path}/state",
        "TMPDIR": f"{tmp_path}/state",
    }


def started(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-I", "-m", "relay", "docker", "run", "image"]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)


def sockets(environment: dict[str, str], name: str = "XDG_RUNTIME_DIR") -> Iterator[Path]:
    return Path(environment[name]).glob("keepline-*/relay.sock")


def test_it_ends_even_if_keepline_is_killed(environment: dict[str, str]) -> None:
    with started(environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"runs\n"
        assert len(list(sockets(environment))) == 1
        process.kill()
    until = time.monotonic() + patience(20)
    while list(sockets(environment)) and time.monotonic() < until:
        time.sleep(0.02)
    assert list(sockets(environment)) == []


def test_a_runtime_folder_that_is_not_there_is_not_needed(environment: dict[str, str]) -> None:
    environment["XDG_RUNTIME_DIR"] += "/none"
    with started(environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"runs\n"
        assert len(list(sockets(environment, "TMPDIR"))) == 1
        _out, said = process.communicate(timeout=patience(20))
    assert (process.returncode, said) == (0, b"")
    assert list(Path(environment["TMPDIR"]).glob("keepline-*")) == []
