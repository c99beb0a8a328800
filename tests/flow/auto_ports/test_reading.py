"""What the caller's files and environment open, whatever is in the place of such a file."""

import json
import os
from pathlib import Path

import pytest

from relay.auto_ports import reading
from relay.auto_ports.reading import MOST_BYTES, opened_by_caller

CONTENT = json.dumps({"mcpServers": {"a": {"url": "http://localhost:3000"}}})


class Caller:
    """A caller with a home folder, and what is opened for them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment: dict[str, str] = {}
        self.notes: list[str] = []

    def write(self, path: str, content: str = CONTENT) -> Path:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def ports(self) -> list[int]:
        found = opened_by_caller(self.environment, self.home, self.notes)
        return [each.first for each in found]


@pytest.fixture
def caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caller:
    (tmp_path / "work/sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work/sub")
    return Caller(tmp_path / "home")


def test_nothing_there_opens_nothing(caller: Caller) -> None:
    assert caller.ports() == []
    assert caller.notes == []


def test_environment_and_files(caller: Caller) -> None:
    caller.environment["OPENAI_BASE_URL"] = "http://localhost:1/v1"
    caller.write(".claude.json")
    caller.write(".codex/config.toml", "[mcp_servers.b]\nurl = 'http://127.0.0.1:2'\n")
    assert caller.ports() == [1, 3000, 2]
    assert caller.notes == []


def test_a_file_that_names_no_server_of_this_machine_is_not_parsed(caller: Caller) -> None:
    caller.write(".claude.json", "no JSON")
    assert caller.ports() == []
    assert caller.notes == []


def test_a_project_s_files_open_nothing(caller: Caller) -> None:
    for path in (".mcp.json", ".claude/settings.json", ".gemini/settings.json", "opencode.json"):
        content = json.loads(CONTENT) | {"env": {"OPENAI_BASE_URL": "http://localhost:1"}}
        caller.write(f"../work/sub/{path}", json.dumps(content))
    assert caller.ports() == []


def test_folders_that_variables_name(caller: Caller, tmp_path: Path) -> None:
    caller.write(".claude.json")
    caller.environment = {
        "CLAUDE_CONFIG_DIR": str(tmp_path / "elsewhere"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "CODEX_HOME": "not/absolute",
    }
    assert caller.ports() == []
    caller.write("../elsewhere/.claude.json", CONTENT.replace("3000", "3001"))
    caller.write("../config/opencode/opencode.json", '{"mcp":{"a":{"url":"http://[::1]:3002"}}}')
    assert caller.ports() == [3001, 3002]


def test_a_server_that_was_added_in_the_folder_by_its_logical_name(
    caller: Caller, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "work")
    projects = {str(tmp_path / "link"): json.loads(CONTENT)}
    caller.write(".claude.json", json.dumps({"projects": projects}))
    assert caller.ports() == []
    caller.environment["PWD"] = str(tmp_path / "link/sub")
    assert caller.ports() == [3000]
    caller.environment["PWD"] = str(tmp_path / "link")  # it is not the working folder
    assert caller.ports() == []


def test_a_working_folder_that_is_gone(caller: Caller, tmp_path: Path) -> None:
    caller.write(".claude.json")
    (tmp_path / "work/sub").rmdir()
    assert caller.ports() == [3000]


def test_links_are_followed(caller: Caller, tmp_path: Path) -> None:
    caller.write("../dotfiles/claude.json")
    caller.home.mkdir(exist_ok=True)
    (caller.home / ".claude.json").symlink_to(tmp_path / "dotfiles/claude.json")
    assert caller.ports() == [3000]


def fifo(path: Path) -> str:
    os.mkfifo(path)
    return "it is not a regular file"


def folder(path: Path) -> str:
    path.mkdir()
    return "it is not a regular file"


def loop(path: Path) -> str:
    path.symlink_to(path)
    return "Too many levels of symbolic links"


def huge(path: Path) -> str:
    with path.open("wb") as file:
        file.write(CONTENT.encode())
        file.truncate(MOST_BYTES + 1)
    return f"it has more than {MOST_BYTES} bytes"


def sparse(path: Path) -> str:
    path.touch()
    os.truncate(path, 1 << 40)
    return f"it has more than {MOST_BYTES} bytes"


def everybodys(path: Path) -> str:
    path.write_text(CONTENT)
    path.chmod(0o666)
    return "everybody can write it; chmod o-w changes that"


def cut(path: Path) -> str:
    path.write_text(CONTENT[:-1])
    return "Input data was truncated"


@pytest.mark.parametrize("make", [fifo, folder, loop, huge, sparse, everybodys, cut])
def test_what_is_no_such_file_is_told_and_opens_nothing(caller: Caller, make: object) -> None:
    assert callable(make)
    caller.home.mkdir(exist_ok=True)
    cause = make(caller.home / ".claude.json")
    assert caller.ports() == []
    assert caller.notes == [f"~/.claude.json: {cause}"]


def test_another_user_s_file_opens_nothing(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    caller.write(".claude.json")
    owner = os.geteuid()
    monkeypatch.setattr(reading, "trusted_owners", lambda: {owner + 1})
    assert caller.ports() == []
    assert caller.notes == [f"~/.claude.json: it belongs to user {owner}"]
    caller.notes.clear()
    caller.write(".claude.json", CONTENT.replace("localhost", "a.example"))
    assert caller.ports() == []
    assert caller.notes == [], "it would open none in any case"


def test_a_file_of_another_place_is_named_in_full(caller: Caller, tmp_path: Path) -> None:
    caller.environment["CODEX_HOME"] = str(tmp_path / "codex")
    (tmp_path / "codex/config.toml").mkdir(parents=True)
    assert caller.ports() == []
    assert caller.notes == [f"{tmp_path}/codex/config.toml: it is not a regular file"]


def test_where_the_agent_looks() -> None:
    home = Path("/home/u")
    assert reading.editors_folders({}, home) == [home / ".claude/ide"]
    assert reading.editors_folders({"CLAUDE_CONFIG_DIR": "/c"}, home) == [
        Path("/c/ide"),
        home / ".claude/ide",
    ]
    assert reading.editors_folders({"CLAUDE_CONFIG_DIR": "/home/u/.claude"}, home) == [
        home / ".claude/ide"
    ]
