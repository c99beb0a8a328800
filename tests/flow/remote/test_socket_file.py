"""The socket of a relay is its owner's alone, and nothing but a stale one is replaced."""

import os
import socket
import stat
from pathlib import Path

import pytest

from netns.errors import KeeplineError
from relay.remote.socket_file import Peer, listening


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.sock"


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(path))
    return sock


def test_it_is_for_its_owner_alone_and_gone_at_the_end(path: Path) -> None:
    with listening(path) as sock:
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert [each.name for each in path.parent.iterdir()] == [path.name]
        with connected(path), sock.accept()[0] as accepted:
            peer = Peer.of(accepted)
            peer.require()
            assert peer == (os.getpid(), os.geteuid())
    assert not path.exists()


def test_another_users_process_is_refused() -> None:
    with pytest.raises(KeeplineError, match="this is user 4242"):
        Peer(1, 4242).require()
    Peer(1, 0).require()


def test_a_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(str(path))
    with listening(path), connected(path):
        pass


def test_a_relay_that_listens_is_left_alone(path: Path) -> None:
    with listening(path):
        with pytest.raises(KeeplineError, match="another relay listens there"), listening(path):
            raise AssertionError
        connected(path).close()


def test_a_socket_that_came_later_is_left_alone(path: Path) -> None:
    with listening(path):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_text("kept")
        case "link":
            path.symlink_to("elsewhere")
        case _:
            path.mkdir()
    with pytest.raises(KeeplineError, match="something else is there"), listening(path):
        raise AssertionError
    assert os.path.lexists(path)


def test_a_folder_that_others_can_write_will_not_do(path: Path) -> None:
    path.parent.chmod(0o777)
    with pytest.raises(KeeplineError, match="others can write") as caught, listening(path):
        raise AssertionError
    assert "mkdir -m 700" in caught.value.next_step
    path.parent.chmod(0o700)


def test_no_folder_and_what_is_none(path: Path) -> None:
    for wrong in (path.parent / "none/relay.sock", Path("/dev/null/relay.sock")):
        with pytest.raises(KeeplineError, match="--socket"), listening(wrong):
            raise AssertionError


def test_a_path_that_is_too_long(path: Path) -> None:
    with (
        pytest.raises(KeeplineError, match="too long") as caught,
        listening(path.with_name("x" * 110)),
    ):
        raise AssertionError
    assert "shorter" in caught.value.next_step
