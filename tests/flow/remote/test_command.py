"""`keepline relay`: how it begins, whom it turns away, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest

from netns.network import netlink
from relay.remote import channel, messages
from relay.remote.command import ENDS_IN, MOST_SESSIONS
from tests.support.pace import patience

ARGV: Final = (sys.executable, "-I", "-m", "relay", "relay")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("KEEPLINE_")}
    return kept | {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.sock"


@pytest.fixture
def relay(path: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    argv = [*ARGV, "--socket", str(path)]
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + patience(20)
        while not path.is_socket() and time.monotonic() < until:
            time.sleep(0.02)
        yield process
        process.kill()


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(path))
    sock.settimeout(patience(20))
    return sock


def welcomed(path: Path) -> socket.socket:
    sock = connected(path)
    channel.send(sock, messages.Hello(version="0", program="true"))
    assert isinstance(messages.from_outside(channel.receive(sock)[0]), messages.Welcome)
    return sock


def test_more_than_it_serves_are_turned_away_and_all_end_with_it(
    path: Path, relay: "subprocess.Popen[bytes]"
) -> None:
    with ExitStack() as opened:
        several = [opened.enter_context(connected(path)) for _ in range(MOST_SESSIONS)]
        one_more = opened.enter_context(connected(path))
        refused = messages.from_outside(channel.receive(one_more)[0])
        assert isinstance(refused, messages.Refused)
        assert f"serves {MOST_SESSIONS} containers already" in refused.cause
        relay.terminate()
        _out, said = relay.communicate(timeout=patience(20))
        assert (relay.returncode, said, path.exists()) == (0, b"", False)
        for each in several:
            with pytest.raises(EOFError):
                channel.receive(each)


def test_who_has_left_makes_room(path: Path, relay: "subprocess.Popen[bytes]") -> None:
    for _ in range(3):
        welcomed(path).close()
    with welcomed(path):
        relay.send_signal(signal.SIGINT)
        assert relay.wait(patience(20)) == 0


def children(process: "subprocess.Popen[bytes]") -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_who_has_lost_the_session_is_told_so_at_once(
    path: Path, relay: "subprocess.Popen[bytes]"
) -> None:
    with welcomed(path) as other:
        (kept,) = children(relay)
        for _ in range(3):
            with welcomed(path) as sock:
                (session,) = {*children(relay)} - {kept}
                os.kill(int(session), signal.SIGKILL)
                with pytest.raises(EOFError):
                    channel.receive(sock)
        assert children(relay) == [kept]
        other.settimeout(0)
        with pytest.raises(BlockingIOError):
            other.recv(1)


def test_a_session_that_ends_with_the_relay_is_not_waited_for(
    path: Path, relay: "subprocess.Popen[bytes]"
) -> None:
    with welcomed(path):
        (session,) = children(relay)
        relay.send_signal(signal.SIGSTOP)
        os.kill(int(session), signal.SIGKILL)
        while not Path(f"/proc/{session}/stat").read_text().partition(") ")[2].startswith("Z"):
            time.sleep(0.02)
        relay.terminate()  # so that it finds both signals at once
        started = time.monotonic()
        relay.send_signal(signal.SIGCONT)
        assert relay.wait(patience(60)) == 0
        assert time.monotonic() - started < ENDS_IN


IN_OWN_NETWORK: Final = """
import sys
from relay.remote import command, descriptors
descriptors.own_cookie = lambda: 1
sys.exit(command.main(sys.argv[1:]))
"""


def test_a_session_that_is_asked_to_end_again_and_again_delivers_all_the_same(
    path: Path, environment: dict[str, str]
) -> None:
    argv = [sys.executable, "-I", "-c", IN_OWN_NETWORK, "--socket", str(path)]
    with subprocess.Popen(argv, env=environment) as process, ExitStack() as opened:
        opened.callback(process.kill)
        until = time.monotonic() + patience(20)
        while not path.is_socket() and time.monotonic() < until:
            time.sleep(0.02)
        sock = opened.enter_context(welcomed(path))
        made = [
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            socket.create_server(("127.0.0.1", 0)),
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG),
            socket.create_server(("127.0.0.1", 0)),
        ]
        handover = messages.Handover(intercept="redirect", listeners=1, holds=False)
        channel.send(sock, handover, [opened.enter_context(each).fileno() for each in made])
        assert messages.from_outside(channel.receive(sock)[0]) == messages.Serving()
        (session,) = children(process)
        with suppress(ProcessLookupError):  # it has ended, and is reaped
            while time.monotonic() < until:
                os.kill(int(session), signal.SIGTERM)
        assert messages.from_outside(channel.receive(sock)[0]) == messages.Finished()
        process.terminate()
        assert process.wait(patience(20)) == 0


IN_HASTE: Final = """
import sys
from relay.remote import command
command.ENDS_IN = 0.1
sys.exit(command.main(sys.argv[1:]))
"""


def test_a_session_that_is_stuck_does_not_outlive_its_container(
    path: Path, environment: dict[str, str]
) -> None:
    argv = [sys.executable, "-I", "-c", IN_HASTE, "--socket", str(path)]
    with subprocess.Popen(argv, env=environment) as process, ExitStack() as opened:
        opened.callback(process.kill)
        until = time.monotonic() + patience(20)
        while not path.is_socket() and time.monotonic() < until:
            time.sleep(0.02)
        with welcomed(path) as other:
            before = children(process)
            stuck = welcomed(path)
            (session,) = {*children(process)} - {*before}
            os.kill(int(session), signal.SIGSTOP)
            stuck.close()
            while session in children(process) and time.monotonic() < until:
                time.sleep(0.02)
            assert children(process) == before
            other.settimeout(0)
            with pytest.raises(BlockingIOError):
                other.recv(1)  # it is served
        process.terminate()
        assert process.wait(patience(20)) == 0


WRONG: Final = {
    "no socket": ([], "--socket"),
    "no folder": (["--socket", "none/relay.sock"], "mkdir -m 700"),
    "a relay of its own": (["--socket", "relay.sock", "--relay", "x"], "no relay of its own"),
    "a setting": (["--socket", "relay.sock", "--deny", "a*b"], "a*b"),
    "an allowlist of nothing": (["--socket", "relay.sock", "--policy-mode", "allowlist"], "allows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_had_is_told(name: str, path: Path, environment: dict[str, str]) -> None:
    arguments, told = WRONG[name]
    done = subprocess.run(
        [*ARGV, *arguments], env=environment, cwd=path.parent, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (125, b"")
    assert told in done.stderr.decode()
    assert not path.exists()
