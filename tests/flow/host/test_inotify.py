"""Whatever becomes of a file, or of the folders above it, is noticed; what is beside it is not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.host.inotify import FileWatch, FolderWatch
from tests.support.pace import patience

NAME = "config.toml"


def write(path: Path) -> None:
    path.write_text("x = 1\n")


def replace(path: Path) -> None:
    (path.parent / "new").write_text("x = 2\n")
    (path.parent / "new").rename(path)


def remove(path: Path) -> None:
    path.unlink()


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def move_one_far_above(path: Path) -> None:
    folder = path.parents[2]
    folder.rename(folder.with_name("elsewhere"))


def overwrite_within(path: Path) -> None:
    with path.open("r+") as file:
        file.write("y")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "a/b/keepline" / NAME
    made.parent.mkdir(parents=True)
    made.write_text("x = 0\n")
    return made


@pytest.mark.parametrize(
    "change", [write, replace, remove, move_folder, move_one_far_above, overwrite_within]
)
async def test_a_change_of_the_file_or_its_folders_is_noticed(
    path: Path, change: Callable[[Path], None]
) -> None:
    with FileWatch([path]) as watch, trio.fail_after(patience(5)):
        change(path)
        await watch.changed()


async def test_one_that_is_made_later_is_noticed_and_so_is_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a/b" / NAME
    with trio.fail_after(patience(5)):
        for make in (path.parent.parent.mkdir, path.parent.mkdir, path.touch):
            with FileWatch([path]) as watch:
                make()
                await watch.changed()


async def test_one_behind_a_link_is_noticed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "folder" / NAME
    target.write_text("")
    link.parent.mkdir()
    link.symlink_to(target)
    with FileWatch([link]) as watch, trio.fail_after(patience(5)):
        write(target)
        await watch.changed()


async def test_what_is_beside_it_is_not(path: Path) -> None:
    with FileWatch([path]) as watch:
        (path.parent / "other").write_text("")
        (path.parent.parent / "other").mkdir()
        await trio.Path(path).read_text()
        with trio.move_on_after(0.2) as waited:
            await watch.changed()
    assert waited.cancelled_caught


def test_no_descriptor_is_left(path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with FileWatch([path]):
            pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def move(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


async def test_a_folder_s_files_are_noticed_by_its_descriptor(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    watch = FolderWatch(folder)
    try:
        move(tmp_path)
        with trio.fail_after(patience(5)):
            for change in (write, replace, remove):
                change(tmp_path.with_name("moved") / "file")
                await watch.changed()
    finally:
        watch.close()
        os.close(folder)


def test_what_cannot_be_watched_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        FolderWatch(-1)
