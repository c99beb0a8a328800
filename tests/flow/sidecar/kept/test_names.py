"""Names are kept in a file of one user, whole at any moment, and small."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from relay.addresses import parse_pool
from relay.dns.synthetic import SyntheticAddresses
from relay.record.events import Event, Fault
from relay.sidecar.kept import names
from relay.sidecar.kept.names import NAME, KeptNames
from relay.sidecar.kept.names_text import HEADER

POOL = "198.18.0.0/15"


class Run:
    """A relay's run, as far as names go."""

    def __init__(self, folder: Path, pool: str = POOL) -> None:
        self.events: list[Event] = []
        self.synthetic = SyntheticAddresses(parse_pool(pool))
        self.kept = KeptNames(folder, self.synthetic, self.events.append, now=0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kept.close()

    def address(self, name: str) -> str:
        return self.synthetic.assign(name, 1.0).address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keepline"


def test_names_have_their_addresses_after_a_restart(folder: Path) -> None:
    with Run(folder) as run:
        known = {name: run.address(name) for name in ("a.test", "b.test")}
    with Run(folder) as again:
        assert {name: again.synthetic.name_of(address) for name, address in known.items()} == {
            name: name for name in known
        }
        assert not again.synthetic.assign("a.test", 1.0).is_new


def test_a_line_is_there_before_the_program_knows_the_address(folder: Path) -> None:
    """So that a relay that is killed then has it."""
    with Run(folder) as run:
        address = run.address("a.test")
        assert (folder / NAME).read_bytes() == HEADER + f"{address} a.test\n".encode()
        assert (folder / NAME).stat().st_mode & 0o777 == 0o600


def test_a_torn_line_is_gone_and_the_next_one_is_whole(folder: Path) -> None:
    with Run(folder) as run:
        run.address("a.test")
    with (folder / NAME).open("ab") as file:
        file.write(b"198.18.9.9 api.exam")
    with Run(folder) as again:
        assert again.synthetic.name_of("198.18.9.9") is None
        again.address("b.test")
    with Run(folder) as third:
        assert {name for _address, name in third.synthetic} == {"a.test", "b.test"}


@pytest.mark.parametrize("content", [b"", b"something else\n", b"\0" * 100, HEADER[:5]])
def test_a_file_of_another_kind_is_begun_anew(folder: Path, content: bytes) -> None:
    folder.mkdir(mode=0o700)
    (folder / NAME).write_bytes(content)
    with Run(folder) as run:
        assert len(run.synthetic) == 0
        assert (folder / NAME).read_bytes() == HEADER


def test_a_file_that_is_too_large_is_begun_anew_from_what_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Run(folder) as run:
        for number in range(100):
            run.address(f"n{number}.test")
    size = (folder / NAME).stat().st_size
    monkeypatch.setattr(names, "MOST", size // 2)
    with Run(folder) as run:
        assert 0 < len(run.synthetic) < 100
        assert (folder / NAME).stat().st_size < size


def test_addresses_out_of_the_pool_are_not_taken(folder: Path) -> None:
    with Run(folder) as run:
        run.address("a.test")
    with (folder / NAME).open("ab") as file:
        file.write(b"198.18.0.1 own.test\n10.0.0.1 b.test\n127.0.0.1 c.test\n198.18.1.7 a.test\n")
    with Run(folder) as again:
        assert [name for _address, name in again.synthetic] == ["a.test"]
        assert again.synthetic.name_of("198.18.1.7") == "a.test", "the latest line counts"


def test_a_file_with_many_old_lines_is_written_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "SPARE_LINES", 0)
    with Run(folder) as run:
        address = run.address("a.test")
    with (folder / NAME).open("ab") as file:
        file.write(f"{address} a.test\n".encode() * 50)
    with Run(folder) as again:
        again.address("b.test")
        assert (folder / NAME).read_bytes().count(b"\n") == 3
        again.address("c.test")
        assert (folder / NAME).read_bytes().count(b"\n") == 4
        assert not list(folder.glob("*.new"))


def test_what_a_killed_relay_has_left_of_a_new_file_is_no_hindrance(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "names.new").write_bytes(b"half")
    with Run(folder) as run:
        run.address("a.test")
    assert sorted(path.name for path in folder.iterdir()) == [NAME]


def make_link(path: Path) -> None:
    path.with_name("elsewhere").write_bytes(HEADER)
    path.symlink_to("elsewhere")


def make_second_name(path: Path) -> None:
    path.write_bytes(HEADER)
    path.with_name("elsewhere").hardlink_to(path)


def make_writable(path: Path) -> None:
    path.write_bytes(HEADER)
    path.chmod(0o666)


def make_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    "make", [make_link, make_second_name, make_writable, make_pipe, make_socket, make_folder]
)
def test_what_others_may_have_put_there_is_not_taken(
    folder: Path, make: Callable[[Path], None]
) -> None:
    folder.mkdir(mode=0o700)
    make(folder / NAME)
    with pytest.raises(OSError):
        Run(folder)


def test_a_folder_that_others_can_write_is_not_taken(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError):
        Run(folder)


def test_one_relay_at_a_time_has_the_file(folder: Path) -> None:
    with Run(folder), pytest.raises(BlockingIOError):
        Run(folder)
    with Run(folder):
        pass


def test_a_folder_that_is_exchanged_is_not_written_to(folder: Path) -> None:
    """It is held open: what another puts in its place gets nothing."""
    with Run(folder) as run:
        folder.rename(folder.with_name("moved"))
        folder.mkdir(mode=0o777)
        run.address("a.test")
    assert not list(folder.iterdir())
    assert b"a.test" in (folder.with_name("moved") / NAME).read_bytes()


def test_a_full_disk_costs_the_line_and_is_recorded_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, room = os.write, [5, 0]

    def write(fd: int, data: bytes) -> int:
        if not room:
            return written(fd, data)
        if left := room.pop(0):
            return written(fd, data[:left])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Run(folder) as run:
        before = run.address("a.test")
        monkeypatch.setattr(os, "write", write)
        first, second = run.address("b.test"), run.address("c.test")
        assert [type(event) for event in run.events] == [Fault]
        third = run.address("d.test")  # there is room again: all that was torn or missed is there
    monkeypatch.undo()
    with Run(folder) as again:
        assert {name: address for address, name in again.synthetic} == {
            "a.test": before,
            "b.test": first,
            "c.test": second,
            "d.test": third,
        }


def test_a_name_that_no_line_can_hold_is_left_out(folder: Path) -> None:
    with Run(folder) as run:
        run.kept.add("198.18.1.9", "a b")
        run.address("a.test")
        assert [type(event) for event in run.events] == [Fault]
    with Run(folder) as again:
        assert [name for _address, name in again.synthetic] == ["a.test"]
