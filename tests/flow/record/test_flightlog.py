"""The flight log keeps every event in order, in batches, up to its bound; its lock means life."""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay.record import files, flightlog, pruning
from relay.record.events import (
    AnyEvent,
    ConnectionDenied,
    Fault,
    LogChanged,
    LogFull,
    LogLost,
    ResolversChanged,
    SessionEnded,
    Slept,
)
from relay.record.flightlog import FlightLog
from relay.record.kinds import Kind

NOW = 1_767_322_845.123456
LATER = time.time() + 2 * pruning.YOUNG
END = SessionEnded(status=0, connections=0, seconds=1.0)


def denied(number: int) -> ConnectionDenied:
    return ConnectionDenied(connection=number, rule="r" * 100)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/keepline/sessions/one.jsonl"


Open = Callable[..., FlightLog]


@pytest.fixture
def open_log(path: Path) -> Open:
    def opened(limit: int = 1 << 20) -> FlightLog:
        return FlightLog(path, clock=lambda: NOW, limit=limit)

    return opened


def test_events_are_read_back_in_order_with_their_time(open_log: Open, path: Path) -> None:
    log = open_log()
    given: list[AnyEvent] = [denied(1), ResolversChanged(resolvers=["192.0.2.53"]), END]
    for event in given:
        log.record(event)
    log.close()
    assert list(flightlog.read(path)) == given
    assert {event.at for event in given} == {1_767_322_845.123}


def test_events_wait_for_the_flush_and_wake_it_once(open_log: Open, path: Path) -> None:
    woken: list[int] = []
    log = open_log()
    log.wake = lambda: woken.append(1)
    log.record(denied(1))
    log.record(denied(2))
    assert (len(woken), path.read_bytes()) == (1, b"")
    log.flush()
    assert len(list(flightlog.read(path))) == 2
    log.record(denied(3))
    assert len(woken) == 2
    log.flush()
    log.flush()
    assert len(list(flightlog.read(path))) == 3
    log.close()


def test_an_event_is_recorded_as_it_is_at_that_moment(open_log: Open, path: Path) -> None:
    log = open_log()
    event = denied(1)
    log.record(event)
    event.connection = 2
    log.close()
    assert [
        read.connection for read in flightlog.read(path) if isinstance(read, ConnectionDenied)
    ] == [1]


def test_the_file_is_bounded_and_says_so_once(open_log: Open, path: Path) -> None:
    log = open_log(limit=2000)
    for number in range(100):
        log.record(denied(number))
    log.record(END)
    log.close()
    *kept, full, end = flightlog.read(path)
    assert [event.connection for event in kept if isinstance(event, ConnectionDenied)] == list(
        range(len(kept))
    )
    assert 8 < len(kept) < 20
    assert isinstance(full, LogFull)
    assert (full.limit, full.at) == (2000, 1_767_322_845.123)
    assert isinstance(end, SessionEnded)
    assert path.stat().st_size < 2000 + 200


def test_what_fits_exactly_is_kept(open_log: Open, path: Path) -> None:
    log = open_log()
    log.record(denied(1))
    log.close()
    size = path.stat().st_size
    path.unlink()
    log = open_log(limit=size)
    log.record(denied(1))
    log.record(END)
    log.close()
    assert [type(event) for event in flightlog.read(path)] == [ConnectionDenied, SessionEnded]


def test_without_a_path_nothing_is_kept_and_nothing_fails() -> None:
    log = FlightLog(None, clock=lambda: NOW, limit=0)
    log.record(denied(1))
    log.record(END)
    log.flush()
    log.close()


def test_a_file_that_is_there_already_is_not_written_to(open_log: Open, path: Path) -> None:
    open_log().close()
    with pytest.raises(FileExistsError):
        open_log()


def test_a_session_gets_a_name_that_no_other_has(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    assert files.unused_name(folder, "20260102-030405-1") == "20260102-030405-1"
    folder.mkdir()
    (folder / "20260102-030405-1.jsonl").touch()  # has a log
    (folder / "20260102-030405-1_2.pem").touch()  # starts, and has its certificates
    (folder / "20260102-030405-17.jsonl").touch()
    assert files.unused_name(folder, "20260102-030405-1") == "20260102-030405-1_3"
    assert files.unused_name(folder, "20260102-030406-1") == "20260102-030406-1"


def test_folder_and_file_are_the_owners_alone(open_log: Open, path: Path) -> None:
    umask = os.umask(0)
    try:
        open_log().close()
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_session_is_live_while_its_file_is_open(open_log: Open, path: Path) -> None:
    log = open_log()
    assert files.is_live(path)
    assert files.is_live(path)
    log.close()
    assert not files.is_live(path)


def test_a_live_file_can_be_read(open_log: Open, path: Path) -> None:
    log = open_log()
    log.record(denied(1))
    log.flush()
    assert len(list(flightlog.read(path))) == 1
    log.close()


@pytest.mark.parametrize("cut", [1, 2, 50])
def test_a_last_line_cut_short_is_left_out(open_log: Open, path: Path, cut: int) -> None:
    log = open_log()
    log.record(denied(1))
    log.record(denied(2))
    log.close()
    os.truncate(path, path.stat().st_size - cut)
    assert [read.at for read in flightlog.read(path)] == [1_767_322_845.123]


def test_an_empty_file_has_no_events(open_log: Open, path: Path) -> None:
    open_log().close()
    assert list(flightlog.read(path)) == []


def test_the_oldest_ended_sessions_are_removed(open_log: Open, path: Path) -> None:
    live = open_log()
    folder = path.parent
    live_path = path.rename(folder / "20260101-000000-1.jsonl")
    count = pruning.SESSIONS_KEPT + 5
    for number in range(2, count + 1):
        (folder / f"20260101-{number:06}-1.jsonl").touch()
    (folder / "notes.txt").touch()
    assert len(files.sessions(folder)) == count
    pruning.prune(folder, time.time())
    assert len(files.sessions(folder)) == count
    pruning.prune(folder, LATER)
    left = files.sessions(folder)
    assert left[0] == live_path
    assert [path.name for path in left[1:]] == [
        f"20260101-{number:06}-1.jsonl" for number in range(6, count + 1)
    ]
    assert (folder / "notes.txt").exists()
    live.close()
    pruning.prune(folder, LATER)
    assert live_path not in files.sessions(folder)


def test_of_many_young_sessions_no_more_than_a_bound_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "SESSIONS_AT_MOST", 60)
    path.parent.mkdir(parents=True)
    for number in range(70):
        (path.parent / f"20260101-{number:06}-1.jsonl").touch()
    pruning.prune(path.parent, time.time())
    left = files.sessions(path.parent)
    assert (len(left), left[0].stem) == (60, "20260101-000010-1")


def test_what_killed_starts_left_behind_is_removed_once_it_is_old(path: Path) -> None:
    path.parent.mkdir(parents=True)
    left = [path.with_suffix(".pem"), path.with_suffix(".new")]
    for each in left:
        each.touch()
    pruning.prune(path.parent, time.time())
    assert all(each.exists() for each in left)
    pruning.prune(path.parent, LATER)
    assert not any(each.exists() for each in left)


def test_a_hundred_sessions_that_start_at_once_all_keep_their_log(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each looks for what others have left while they make theirs.

    A lock of flock(2) belongs to an open file, so threads are as good as processes.
    """
    monkeypatch.setattr(pruning, "SESSIONS_AT_MOST", 20)
    folder, count = path.parent, 100
    begin = threading.Barrier(count)

    def session(number: int) -> FlightLog:
        begin.wait()
        own = folder / f"20260101-000000-{number}.jsonl"
        own.parent.mkdir(parents=True, exist_ok=True)
        own.with_suffix(".pem").touch()
        log = FlightLog(own, clock=lambda: NOW, limit=1 << 20)
        pruning.prune(folder, time.time())
        log.record(denied(number))
        log.flush()
        return log

    with ThreadPoolExecutor(count) as pool:
        logs = list(pool.map(session, range(count)))
    kept = files.sessions(folder)
    assert len(kept) == count
    assert all(each.with_suffix(".pem").exists() for each in kept)
    assert all(len(list(flightlog.read(each))) == 1 for each in kept)
    for log in logs:
        log.close()


def test_sessions_are_listed_oldest_first_and_none_where_there_is_no_folder(tmp_path: Path) -> None:
    for name in ("20260102-000000-9", "20260101-235959-100", "20260102-000001-1"):
        (tmp_path / f"{name}.jsonl").touch()
    assert [path.stem for path in files.sessions(tmp_path)] == [
        "20260101-235959-100",
        "20260102-000000-9",
        "20260102-000001-1",
    ]
    assert files.sessions(tmp_path / "none") == []


def test_the_folder_is_where_the_specification_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    in_home = tmp_path / ".local/state/keepline/sessions"
    assert files.sessions_folder({}) == in_home
    assert files.sessions_folder({"XDG_STATE_HOME": "relative"}) == in_home
    assert files.sessions_folder({"XDG_STATE_HOME": ""}) == in_home
    state = tmp_path / "s"
    assert files.sessions_folder({"XDG_STATE_HOME": str(state)}) == state / "keepline/sessions"


def test_a_session_that_starts_takes_nothing_from_another_that_does(
    open_log: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one prunes in the moment before this one's lock."""
    certificates = path.with_suffix(".pem")
    lock = fcntl.flock

    def prune_first(file: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX:
            pruning.prune(path.parent, time.time())
        lock(file, operation)

    path.parent.mkdir(parents=True)
    certificates.touch()
    monkeypatch.setattr(fcntl, "flock", prune_first)
    log = open_log()
    assert certificates.exists()
    assert files.is_live(path)
    log.close()


def test_a_session_that_is_removed_meanwhile_is_not_live(path: Path) -> None:
    assert not files.is_live(path)


class Disk:
    """os.write, which takes no more than there is room for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1 << 20
        self._write = os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, descriptor: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_costs_what_it_has_no_room_for(
    open_log: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    log = open_log()
    log.record(denied(1))
    log.flush()
    disk.room = 100  # which ends in the middle of a line
    log.record(denied(2))
    log.record(denied(3))
    log.flush()
    log.record(denied(4))
    log.flush()
    assert (log.failure, log.has_losses) == ("No space left on device", True)
    disk.room = 1 << 20
    log.record(denied(5))
    log.record(END)
    log.close()
    first, lost, fifth, end = flightlog.read(path)
    assert isinstance(lost, LogLost)
    assert (lost.events, lost.cause, lost.kind) == (3, log.failure, Kind.OTHER)
    assert isinstance(first, ConnectionDenied)
    assert isinstance(fifth, ConnectionDenied)
    assert (first.connection, fifth.connection, end) == (1, 5, END)


def test_what_cannot_be_written_as_json_is_lost_alone(open_log: Open, path: Path) -> None:
    log = open_log()
    log.record(denied(1))
    log.record(ConnectionDenied(connection=2, rule="\ud800"))
    log.record(END)
    log.close()
    assert [type(event) for event in flightlog.read(path)] == [
        LogLost,
        ConnectionDenied,
        SessionEnded,
    ]


def test_a_clock_that_fails_ends_nothing(path: Path) -> None:
    def clock() -> float:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = FlightLog(path, clock=clock, limit=1 << 20)
    log.record(denied(1))
    assert log.failure == "Input/output error"
    log.close()
    assert list(flightlog.read(path)) == []


def test_a_close_that_fails_is_said(
    open_log: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log()
    log.record(END)
    log.flush()
    close = os.close

    def fails(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", fails)
    log.close()
    assert log.failure == "Input/output error"


def test_a_traceback_is_told_once(open_log: Open, path: Path) -> None:
    log = open_log()
    for place in ("a.py:1 in f", "a.py:1 in f", "b.py:2 in g"):
        log.record(
            Fault(where="question", error="KeyError", cause="x", place=place, traceback="frames")
        )
    log.close()
    told = [event.traceback for event in flightlog.read(path) if isinstance(event, Fault)]
    assert told == ["frames", "", "frames"]


def test_a_file_of_somebody_else_is_left_alone(
    path: Path, open_log: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_log().close()

    def refuses(_file: object, _how: int) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(fcntl, "flock", refuses)
    monkeypatch.setattr(pruning, "SESSIONS_KEPT", 1)
    path.with_name("two.jsonl").touch()
    path.with_suffix(".pem").touch()
    pruning.prune(path.parent, LATER)
    assert {file.name for file in path.parent.iterdir()} == {"one.jsonl", "one.pem", "two.jsonl"}


def slept(number: int) -> Slept:
    return Slept(seconds=number)


def test_room_is_kept_for_what_was_lost_or_denied(open_log: Open, path: Path) -> None:
    log = open_log(limit=20_000)
    for number in range(1000):
        log.record(slept(number))
    log.record(Fault(where="question", error="KeyError", cause="x"))
    for number in range(5):
        log.record(denied(number))
    log.record(slept(0))
    log.record(END)
    log.close()
    events = list(flightlog.read(path))
    full = next(number for number, event in enumerate(events) if isinstance(event, LogFull))
    assert {type(event) for event in events[:full]} == {Slept}
    assert [type(event) for event in events[full + 1 :]] == [
        *(Fault, *[ConnectionDenied] * 5, SessionEnded)
    ]
    end = events[-1]
    assert isinstance(end, SessionEnded)
    assert end.omitted == {"slept": 1001 - full}
    assert f"the log had no room for: {1001 - full} slept" in end.text()


Tampering = Callable[[Path], object]


@pytest.mark.parametrize(
    ("change", "how"),
    [
        (Path.unlink, "removed"),
        (lambda path: os.truncate(path, 10), "cut short"),
        (lambda path: path.write_bytes(path.read_bytes() + b"{}"), "written to"),
    ],
)
@pytest.mark.parametrize("goes_on", [False, True])
def test_what_another_does_to_the_file_is_said(
    open_log: Open, path: Path, change: Tampering, how: str, goes_on: bool
) -> None:
    log = open_log()
    log.record(denied(1))
    log.flush()
    change(path)
    if goes_on:
        log.record(denied(2))
        log.flush()
    log.record(END)
    log.close()
    assert log.has_losses
    assert log.failure == f"it was {how} by another process"
    changed = [event for event in flightlog.read(path) if isinstance(event, LogChanged)]
    assert [(event.how, event.kind) for event in changed] == [(how, Kind.TAMPERED)]
    if how == "removed":
        types = [type(event) for event in flightlog.read(path)]
        assert types == [
            *[ConnectionDenied] * (1 + goes_on),
            *(LogChanged, SessionEnded),
        ]


def test_a_removed_file_that_has_a_successor_stays_removed(open_log: Open, path: Path) -> None:
    log = open_log()
    log.record(denied(1))
    log.flush()
    path.unlink()
    path.write_text("another's")
    log.record(END)
    log.close()
    assert path.read_text() == "another's"
    assert log.failure == "File exists; it was removed by another process"


def test_a_file_that_cannot_be_looked_at_is_written_all_the_same(
    open_log: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log()

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fstat", fail)
    log.record(END)
    log.close()
    monkeypatch.undo()
    assert [type(event) for event in flightlog.read(path)] == [SessionEnded]
    assert log.failure == ""


def test_of_a_session_that_did_not_come_about_nothing_stays(open_log: Open, path: Path) -> None:
    log = open_log()
    assert not log.has_begun
    log.withdraw()
    assert not path.exists()
    FlightLog(None, clock=lambda: NOW, limit=0).withdraw()
