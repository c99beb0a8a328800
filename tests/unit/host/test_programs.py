"""Only a program that root alone can change is run."""

import os
from pathlib import Path

import pytest

from relay.host import programs


def place(folder: Path, name: str = "tool", mode: int = 0o755) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def find(name: str, search: Path | str) -> str | None:
    """Find it for a user whom we trust as we trust root."""
    return programs.find(name, str(search), {0, os.getuid()})


def test_the_system_comes_first(tmp_path: Path) -> None:
    place(tmp_path, "sh")
    assert find("sh", tmp_path) == "/usr/bin/sh"


def test_one_that_nobody_has() -> None:
    assert find("no-such-program", "") is None


def test_a_folder_of_the_path_may_be_root_s(tmp_path: Path) -> None:
    tool = place(tmp_path / "opt/bin")
    (tmp_path / "link").symlink_to(tool.parent)
    for folder in (tmp_path / "opt/bin", tmp_path / "link"):
        assert find("tool", f"bin::{folder}") == str(folder / "tool")


def test_one_of_another_owner_is_not_taken(tmp_path: Path) -> None:
    if os.getuid() == 0:
        place(tmp_path)
        os.chown(tmp_path, 4711, 4711)
    else:
        place(tmp_path)
    assert programs.find("tool", str(tmp_path)) is None


@pytest.mark.parametrize("shared", ["", "opt", "opt/bin", "opt/bin/tool"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write_is_not_taken(tmp_path: Path, shared: str, mode: int) -> None:
    place(tmp_path / "opt/bin")
    path = tmp_path / shared
    path.chmod(path.stat().st_mode | mode)
    assert find("tool", tmp_path / "opt/bin") is None


def test_a_folder_with_the_sticky_bit_may_be_shared(tmp_path: Path) -> None:
    place(tmp_path / "store/bin")
    (tmp_path / "store").chmod(0o1775)
    assert find("tool", tmp_path / "store/bin") == str(tmp_path / "store/bin/tool")


def test_a_link_leads_to_what_is_judged(tmp_path: Path) -> None:
    tool = place(tmp_path / "home")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").symlink_to(tool)
    assert find("tool", tmp_path / "bin") == str(tmp_path / "bin/tool")
    (tmp_path / "home").chmod(0o777)
    assert find("tool", tmp_path / "bin") is None


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_one_that_cannot_be_run_is_not_taken(tmp_path: Path, mode: int) -> None:
    place(tmp_path, mode=mode)
    assert find("tool", tmp_path) is None


def test_a_folder_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    assert find("tool", tmp_path) is None
