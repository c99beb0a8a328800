"""The files of settings: what is read, from where, and what is told of one that cannot be."""

import os
from pathlib import Path

import pytest

from relay.config import ConfigError, files


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str = 'deny = ["a.test"]') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found() -> list[str]:
    return [project.path for project in files.projects()]


def test_where_the_config_file_is() -> None:
    home = Path("/home/x")
    assert files.config_path({}, home) == Path("/home/x/.config/keepline/config.toml")
    absolute = {"XDG_CONFIG_HOME": "/etc/xdg"}
    assert files.config_path(absolute, home) == Path("/etc/xdg/keepline/config.toml")
    relative = {"XDG_CONFIG_HOME": "xdg"}
    assert files.config_path(relative, home) == Path("/home/x/.config/keepline/config.toml")


def test_a_file_that_is_absent_says_nothing(tmp_path: Path) -> None:
    assert files.read(tmp_path / "none") == ""
    assert files.read(write(tmp_path / "file") / "below") == ""


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name, mistake in {
        "fifo": "not a regular file",
        "folder": "Is a directory",
        "loop": "Too many levels of symbolic links",
    }.items():
        with pytest.raises(ConfigError, match=f"{name}: {mistake}"):
            files.read(tmp_path / name)


def test_a_file_that_is_too_large_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it has more than 4194304 bytes"):
        files.read(write(tmp_path / "large", "#" * (4 << 20) + "#"))
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="can't decode byte 0xff"):
        files.read(tmp_path / "binary")


def test_the_files_of_a_repository_all_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / ".keepline.toml")  # above the repository
    root = write(tmp_path / "repo/.keepline.toml")
    (tmp_path / "repo/.git").mkdir()
    near = write(tmp_path / "repo/a/b/.keepline.toml")
    monkeypatch.chdir(tmp_path / "repo/a/b")
    assert found() == [str(near), str(root)]
    monkeypatch.chdir(tmp_path / "repo/a")
    assert found() == [str(root)]


def test_without_a_repository_only_the_folder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / ".keepline.toml")
    (tmp_path / "below").mkdir()
    assert found() == [str(tmp_path / ".keepline.toml")]
    monkeypatch.chdir(tmp_path / "below")
    assert found() == []


def test_a_folder_that_is_gone_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert found() == []


def test_a_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / ".keepline.toml", "\nkeepidle = 3")
    with pytest.raises(ConfigError, match=f"^{path}:2: keepidle: the file of a project can only"):
        list(files.projects())
