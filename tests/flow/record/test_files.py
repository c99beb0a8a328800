"""Only regular files are read, and made anew, whatever a program has put into the folder."""

import errno
import fcntl
import os
import pwd
import socket
import stat
import time
from pathlib import Path

import msgspec
import pytest

from relay.record import files, flightlog, pruning
from relay.record.events import Slept
from relay.record.flightlog import FlightLog
from tests.support.pace import patience

QUICK = 0.5
"""Seconds; whoever opens a FIFO waits for ever."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state/keepline/sessions"


def plant(path: Path, kind: str) -> None:
    """Put something that is no regular file there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("/etc/passwd")
        case "link to nowhere":
            path.symlink_to(path.parent / "nowhere")
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(os.fspath(path))


KINDS = ("fifo", "folder", "link", "link to nowhere", "link to a device", "socket")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_no_session(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    monkeypatch.chdir(folder.parents[2])
    short = Path(os.path.relpath(folder))  # a socket's name is 107 bytes at most
    for suffix in ("jsonl", "pem", "new"):
        plant(short / f"20260101-000000-1.{suffix}", kind)
    path = folder / "20260101-000000-1.jsonl"
    assert files.sessions(folder) == []
    assert files.is_live(path)  # it is left alone
    with pytest.raises(OSError, match=r"."):
        list(flightlog.read(path))
    pruning.prune(folder, time.time() + 2 * pruning.YOUNG)
    assert os.path.lexists(path)
    assert time.monotonic() - began < patience(QUICK)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["jsonl", "new"])
def test_a_log_is_made_anew_or_not_at_all(
    folder: Path, kind: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = time.monotonic()
    monkeypatch.chdir(folder.parents[2])
    plant(Path(os.path.relpath(folder)) / f"one.{suffix}", kind)
    with pytest.raises(FileExistsError):
        FlightLog(folder / "one.jsonl", clock=time.time, limit=1 << 20)
    assert time.monotonic() - began < patience(QUICK)


def test_what_others_can_write_holds_no_record(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o770)
    with pytest.raises(PermissionError) as caught, files.opened_folder(folder):
        pass
    assert caught.value.strerror == "others can write it; chmod go-w changes that"


def test_a_folder_of_another_holds_no_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True, mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(PermissionError) as caught, files.opened_folder(folder):
        pass
    assert caught.value.strerror == f"it belongs to user {os.getuid()}"


def test_a_folder_that_is_a_link_holds_no_record(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.symlink_to("/tmp")
    with pytest.raises(OSError, match=r".") as caught, files.opened_folder(folder):
        pass
    assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)


def test_a_file_is_its_owners_alone(folder: Path) -> None:
    with files.opened_folder(folder) as opened:
        os.close(files.made(opened, "one"))
        with pytest.raises(FileExistsError):
            files.made(opened, "one")
    assert stat.S_IMODE((folder / "one").stat().st_mode) == 0o600


@pytest.mark.parametrize("made", [False, True])
def test_root_keeps_no_record_in_a_user_s_home(
    tmp_path: Path, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".local/state" if made else home).mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if os.getuid() == 0:
        for place in (home, *home.rglob("*")):
            os.chown(place, 4711, 4711)
    monkeypatch.setenv("HOME", str(home))
    own = Path(pwd.getpwuid(0).pw_dir, ".local/state/keepline/sessions")
    assert files.sessions_folder({}) == own
    assert files.sessions_folder({"XDG_STATE_HOME": str(home / "state")}) == own
    assert files.sessions_folder({"XDG_STATE_HOME": "/etc/state"}) == Path(
        "/etc/state/keepline/sessions"
    )


@pytest.fixture
def read_only_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home, to which nothing can be written, whoever the caller is."""
    home, access = tmp_path / "home", os.access
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(os, "access", lambda path, mode: path != home and access(path, mode))
    monkeypatch.setattr(files, "SHARED", (tmp_path / "tmp", tmp_path / "shm"))
    return home


def test_a_home_that_cannot_be_written_to_gives_way(
    read_only_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_home = read_only_home / ".local/state/keepline/sessions"
    assert not files.is_writable(in_home)
    assert files.sessions_folder({}) == in_home  # there is no other
    (tmp_path / "tmp").mkdir()
    assert files.sessions_folder({}) == in_home  # whoever may write there could replace ours
    (tmp_path / "shm").mkdir()
    (tmp_path / "shm").chmod(0o1777)
    assert files.sessions_folder({}) == tmp_path / f"shm/keepline-{os.getuid()}"
    monkeypatch.setattr(os, "geteuid", lambda: 4711)  # the sticky bit holds not against its owner
    assert (files.sessions_folder({}) == in_home) == (os.getuid() != 0)


def test_the_folder_of_what_need_not_last_comes_first(read_only_home: Path, tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    in_home = files.sessions_folder({})
    environment = {"XDG_RUNTIME_DIR": str(runtime)}
    assert files.sessions_folder(environment) == in_home
    runtime.mkdir(mode=0o700)
    assert files.sessions_folder(environment) == runtime / "keepline"
    runtime.chmod(0o777)
    assert files.sessions_folder(environment) == in_home
    runtime.chmod(0o700)
    (tmp_path / "link").symlink_to(runtime)
    assert files.sessions_folder({"XDG_RUNTIME_DIR": str(tmp_path / "link")}) == in_home


def test_a_folder_of_somebody_else_s_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "keepline-4711"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(PermissionError, match="it belongs to user"), files.opened_folder(folder):
        pass


def test_a_line_that_is_too_long_is_left_out_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    path = folder / "one.jsonl"
    long = b"x" * (3 * files.LONGEST)
    path.write_bytes(b"\n".join([b"{1}", long, b"{2}", b"", b"other", b"{cut short"]))
    assert list(files.lines(path, bytes)) == [b"{1}\n", b"{2}\n"]


def test_of_a_file_without_an_end_a_part_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST", 1000)
    folder.mkdir(parents=True)
    path = folder / "one.jsonl"
    path.write_bytes(b"{123456789\n" * 1000)
    assert len(list(files.lines(path, bytes))) == 91


@pytest.mark.parametrize("other", [b"\n", b"{}\n", b'{"type":"no"}\n', b"\0", b"\0\n"])
def test_of_what_is_no_event_little_is_read_and_then_the_end(
    folder: Path, other: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(parents=True)
    path = folder / "one.jsonl"
    slept = msgspec.json.encode(Slept(at=1, seconds=1)) + b"\n"
    with path.open("wb") as file:
        file.write(slept + other * (40 << 20 if len(other) < 4 else 4 << 20))
        if other == b"\0":  # a hole, as truncate(2) makes it
            file.truncate(2 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + slept)
    began = time.monotonic()
    assert len(list(flightlog.read(path))) == 2
    assert time.monotonic() - began < patience(5)


def test_one_that_cannot_be_removed_has_others_go_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    names = [f"2026-sidecar-{number}.jsonl" for number in range(4)]
    folder.mkdir(mode=0o700)
    for name in names:
        (folder / name).write_bytes(b"x" * 100)
    with (folder / names[0]).open() as live:
        fcntl.flock(live, fcntl.LOCK_EX)
        pruning.prune_to(folder, 200, "-sidecar-")
    assert files.session_names(folder) == [names[0], names[3]]
