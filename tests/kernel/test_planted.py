"""What a program puts among the records of sessions keeps nobody waiting; no terminal obeys it."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from relay.record.events import SessionEnded
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.world import Internet

PLANT = """
set -e
cd "$1"
for name in 10000000-000000-1 20990101-000000-1; do
    mkfifo $name.jsonl
    for suffix in pem new; do ln -s /dev/zero $name.$suffix; done
done
ln -s /etc/passwd 20990101-000000-2.jsonl
mkdir 20990101-000000-3.jsonl
"""
FORGED = {
    "event": "session_started",
    "at": 1.0,
    "session": "forged",
    "version": "0",
    "program": "\u001b]0;owned\u0007\u009b2J\nsession nice",
    "pid": 1,
    "uid": 0,
    "intercept": "tproxy",
    "dns": "real",
    "format": 1,
}
DENIED = {"event": "connection_denied", "at": 2.0, "connection": 1, "rule": "\u202eelif\x7f"}
SHOWN = (b"\\x1b]0;owned\\x07\\x9b2J\\nsession nice", b"\\u202eelif\\x7f")


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


async def test_a_fifo_a_link_and_a_folder_are_no_sessions(keepline: Keepline) -> None:
    first = await keepline.run("sh", "-c", PLANT, "sh", str(keepline.sessions))
    assert (first.stdout, first.stderr) == (b"", "")
    second = await keepline.run("true")
    assert second.all(SessionEnded)
    for command in ("status", "log", "explain"):
        done = await keepline.call(command)
        assert (done.status, done.stderr) == (0, "")
        assert b"20990101" not in done.stdout
    done = await keepline.call("log", "20990101-000000-1")
    assert done.status == 125
    assert "no session" in done.stderr


def forge(keepline: Keepline) -> None:
    """Write a record that looks later than all others."""
    keepline.sessions.mkdir(parents=True, mode=0o700)
    lines = [json.dumps(event, ensure_ascii=False).encode() for event in (FORGED, DENIED)]
    torn = [b"\xff\xfe\x1b[31m", b"{", b'"\x1b[31m"', b"[" * 5000, b"no end\x1b[31m"]
    (keepline.sessions / "20990101-000000-1.jsonl").write_bytes(b"\n".join([*lines, *torn]))


def is_harmless(done: Done) -> bool:
    """Return whether a terminal only shows it."""
    return all(line.decode().isprintable() for line in done.stdout.split(b"\n")) and all(
        line.isprintable() for line in done.stderr.split("\n")
    )


@pytest.mark.parametrize("command", ["log", "explain"])
async def test_a_terminal_obeys_no_record(keepline: Keepline, command: str) -> None:
    forge(keepline)
    done = await keepline.call(command)
    assert is_harmless(done), done
    assert all(shown in done.stdout for shown in SHOWN), done.stdout


async def test_json_of_a_record_is_json_and_harmless(keepline: Keepline) -> None:
    forge(keepline)
    done = await keepline.call("log", "--json")
    assert is_harmless(done), done
    first, second, *others = map(json.loads, done.stdout.splitlines())
    assert (first, second) == (FORGED, DENIED)
    assert all(not isinstance(other, dict) for other in others)


async def test_what_a_program_names_is_harmless_on_stderr(
    keepline: Keepline, tmp_path: Path
) -> None:
    """A process that is left behind is told by what it calls itself."""
    evil = tmp_path / "\x1b]0;owned\x07"
    shutil.copy(needs("sleep"), evil)
    script = '"$1" 60 >/dev/null 2>&1 </dev/null & echo $!'
    done = await keepline.run("sh", "-c", script, "sh", str(evil))
    os.kill(int(done.stdout), signal.SIGKILL)
    assert "left behind, without a network from now on: \\x1b]0;owned\\x07 (" in done.stderr
    assert is_harmless(done), done
