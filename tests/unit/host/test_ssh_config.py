"""What ssh checks the owner of is found as ssh finds it: by its Includes, at any depth."""

import os
from pathlib import Path

import pytest

from relay.host.ssh_config import RootsFiles, checked_by_ssh, includes

ME = os.getuid()


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("Include a b/*.conf", ["a", "b/*.conf"]),
        ("  include=a\nINCLUDE = b\n\tInclude\tc", ["a", "b", "c"]),
        ('Include "a b" c # d', ["a b", "c"]),
        ("Match host x\n Include a\nHost y\nInclude b", ["a", "b"]),
        ("#Include a\nIncluded b\nUser include\nInclude", []),
        ('Include %d/a ${HOME}/b "" c', ["c"]),
    ],
)
def test_patterns_are_read_as_ssh_reads_them(text: str, patterns: list[str]) -> None:
    assert list(includes(text)) == patterns


def found(folder: Path, root: int = ME) -> RootsFiles:
    return checked_by_ssh(folder / "home", folder / "ssh/ssh_config", root)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ssh/ssh_config.d", "home/.ssh", "store"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str = "") -> str:
    path.write_text(text)
    return str(path)


def test_without_any_configuration_there_is_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == RootsFiles()


def test_a_folder_is_shown_whole_if_ssh_reads_all_of_it(folder: Path) -> None:
    write(folder / "ssh/ssh_config", "Include ssh_config.d/*.conf")
    included = write(folder / "ssh/ssh_config.d/a.conf")
    assert found(folder) == RootsFiles(folders=[str(folder / "ssh/ssh_config.d")])
    write(folder / "ssh/ssh_config.d/README")
    assert found(folder) == RootsFiles(files=[included])


def test_includes_are_followed_through_links_and_in_circles(folder: Path) -> None:
    write(folder / "ssh/ssh_config", f"Include one {folder}/none\nInclude ssh_config.d two")
    two = folder / "ssh/two"
    two.symlink_to(folder / "store/two")
    write(folder / "store/two", "Include one\nInclude two")
    one = write(folder / "ssh/one", "Include ~/mine ~other/x")
    mine = write(folder / "home/mine", "Include lost")
    (folder / "ssh/lost").symlink_to("nowhere")
    assert found(folder).files == [one, str(two), mine]


def test_depth_has_an_end(folder: Path) -> None:
    write(folder / "ssh/ssh_config", "Include 1")
    paths = [write(folder / f"ssh/{n}", f"Include {n + 1}") for n in range(1, 20)]
    assert found(folder).files == paths[:16]


def test_the_callers_own_configuration_is_checked_itself(folder: Path) -> None:
    config = write(folder / "home/.ssh/config", "Include more")
    more = write(folder / "home/.ssh/more")
    assert found(folder) == RootsFiles(folders=[str(folder / "home/.ssh")])
    write(folder / "home/.ssh/known_hosts")
    assert found(folder).files == [config, more]


def test_files_of_others_and_those_that_cannot_be_read_are_left_alone(folder: Path) -> None:
    write(folder / "home/.ssh/config")
    write(folder / "ssh/ssh_config", "Include a")
    (folder / "ssh/a").mkdir()
    assert found(folder, root=ME + 1) == RootsFiles()
