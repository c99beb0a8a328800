"""A pod's record is in files: each whole for `status` and `explain`, all together bounded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.record import events, files, flightlog, status
from relay.record.events import AnyEvent, LogContinued, SessionEnded, SessionStarted
from relay.record.metrics import METRICS, Metrics
from relay.record.story import telling
from relay.sidecar.kept import parts
from relay.sidecar.kept.parts import FILES, Parts
from tests.support.counted import counted

LIMIT = 400_000
NOW = 1_800_000_000.0


class Record:
    """A record, its clock, and what metrics make of the events as they happen."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.now, self.folder = NOW, folder
        self.warned: list[str] = []
        self.metrics = Metrics()
        started = SessionStarted(
            session="",
            version="1",
            program="sidecar",
            pid=1,
            uid=2,
            intercept="redirect",
            dns="real",
        )
        self.parts = Parts(
            folder, started, limit=limit, warn=self.warned.append, clock=lambda: self.now
        )

    def record(self, event: AnyEvent) -> None:
        self.now += 1
        self.metrics.note(event)
        self.parts.record(event)

    def connection(self, number: int, to: str = "1.2.3.4") -> None:
        self.record(events.ConnectionOpened(connection=number, address=to, port=443))
        self.record(events.Dialled(connection=number, address="5.6.7.8", seconds=0.25))

    def close(self, number: int) -> None:
        self.record(
            events.ConnectionClosed(
                connection=number, by="program", how="fin", sent=1, received=2, seconds=1, idle=0
            )
        )

    def files(self) -> list[Path]:
        return files.sessions(self.folder)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Record]:
    made = Record(tmp_path / "sessions")
    yield made
    made.parts.close()


def test_a_file_that_is_full_is_continued_by_another(record: Record) -> None:
    record.connection(1)
    for number in range(2, 450):
        record.connection(number)
        record.close(number)
    record.parts.flush()
    first, second, *_ = [list(flightlog.read(path)) for path in record.files()]
    assert isinstance(first[-1], LogContinued)
    assert first[-1].session == record.files()[1].stem
    assert isinstance(second[0], SessionStarted)
    assert (second[0].session, second[0].at) == (record.files()[1].stem, first[0].at)
    assert second[1:3] == first[1:3], "what goes on is carried, as it was"
    assert {files.is_live(path) for path in record.files()[:-1]} == {False}
    assert files.is_live(record.files()[-1])
    state = status.state_of("", flightlog.read(record.files()[-1]))
    assert [open_.to for open_ in state.connections.values()] == ["1.2.3.4:443"]
    told = list(telling.lines(first))
    assert not [line for line in told if "killed" in line], told


def test_all_files_together_are_bounded(record: Record) -> None:
    for number in range(1, 4000):
        record.connection(number)
        record.close(number)
    record.parts.flush()
    sizes = [path.stat().st_size for path in record.files()]
    assert len(sizes) >= FILES
    assert sum(sizes) <= LIMIT + LIMIT // FILES
    assert max(sizes) <= LIMIT // FILES


def test_the_records_of_commands_are_left_alone(record: Record) -> None:
    other = record.folder / "20200101-000000-7.jsonl"
    other.write_bytes(b"x" * 2 * LIMIT)
    for number in range(1, 4000):
        record.connection(number)
        record.close(number)
    assert other.exists()
    record.parts.flush()
    assert sum(path.stat().st_size for path in record.files() if path != other) <= LIMIT


def test_the_record_and_the_metrics_come_to_the_same(record: Record) -> None:
    """Over several files, and with failures that it has in few lines."""
    for number in range(1, 600):
        record.connection(number, f"1.2.3.{number % 7}")
        if number % 5:
            record.close(number)
    for number in range(600, 700):
        record.record(events.ConnectionOpened(connection=number, address="9.9.9.9", port=1))
        record.record(events.DialFailed(connection=number, cause="refused", seconds=0.1))
    record.record(SessionEnded(status=0, connections=699, seconds=1.0))
    record.parts.close()
    read, began = Metrics(), 0.0
    assert 1 < len(record.files()) <= FILES
    for path in record.files():
        fresh = [event for event in flightlog.read(path) if event.at > began]
        for event, times in counted(fresh):
            read.note(event, times)
        began = fresh[-1].at
    assert {each.name: dict(read.of(each)) for each in METRICS} == {
        each.name: dict(record.metrics.of(each)) for each in METRICS
    }
    assert read.dialled == record.metrics.dialled


def test_very_many_connections_that_go_on_leave_room_for_what_is_new(record: Record) -> None:
    for number in range(1, 3000):
        record.connection(number)
    record.parts.flush()
    assert len(record.files()) < 2 * 3000 * 200 / (LIMIT // FILES // 4)
    known = list(flightlog.read(record.files()[-1]))
    assert getattr(known[-1], "connection", 0) == 2999


def test_a_relay_that_starts_again_begins_a_file_of_its_own(tmp_path: Path) -> None:
    first, second = Record(tmp_path), Record(tmp_path)
    assert len(first.files()) == 2
    assert not first.warned + second.warned
    first.parts.close()
    second.parts.close()


def test_without_a_folder_there_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    record = Record(tmp_path / "file" / "sessions")
    assert len(record.warned) == 1
    for number in range(1000):
        record.connection(number)
    assert record.parts.path is None
    record.parts.flush()
    record.parts.close()


def test_where_no_file_can_be_begun_the_old_one_goes_on(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "FlightLog", refuses)
    for number in range(1, 450):
        record.connection(number)
    record.parts.flush()
    assert len(record.files()) == 1
    monkeypatch.undo()
    record.now += parts.AGAIN
    record.connection(450)
    assert len(record.files()) == 2


def test_whoever_writes_is_woken_for_the_next_file_too(record: Record) -> None:
    woken: list[int] = []
    record.parts.wake = lambda: woken.append(len(record.files()))
    assert record.parts.is_waiting
    for number in range(1, 450):
        record.connection(number)
        record.close(number)
    assert record.parts.is_waiting
    assert max(woken) >= 2
    record.parts.wake()
