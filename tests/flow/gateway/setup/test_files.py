"""What a word of a command names: links are followed, packages and scripts are known."""

import json
import os
from pathlib import Path

import pytest

from relay.gateway.setup.command import File, Look
from relay.gateway.setup.files import looker


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return looker({"PATH": str(tmp_path / "bin")})


def made(path: Path, text: str = "", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def package(folder: Path, **described: object) -> None:
    made(folder / "package.json", json.dumps(described), 0o644)


def test_a_link_is_followed_in_the_path(tmp_path: Path, look: Look) -> None:
    made(tmp_path / "real/tool", "#!/bin/sh\nexec x\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/other").symlink_to(tmp_path / "real/tool")
    assert look("other") == File(str(tmp_path / "real/tool"), "", "#!/bin/sh\nexec x\n")
    assert look(str(tmp_path / "bin/other")) == look("other")


def test_what_is_not_there_or_no_file_is_nothing(tmp_path: Path, look: Look) -> None:
    assert look("absent") is None
    assert look(str(tmp_path / "absent")) is None
    assert look(str(tmp_path)) is None


def test_a_fifo_in_place_of_a_packages_description_is_not_waited_for(
    tmp_path: Path, look: Look
) -> None:
    file = made(tmp_path / "p/x.js", "#!/bin/sh\n")
    os.mkfifo(tmp_path / "p/package.json")
    assert look(str(file)) == File(str(file), "", "#!/bin/sh\n")


@pytest.mark.parametrize("command", [{"x": "bin/x.js"}, "bin/x.js"])
def test_a_command_of_a_package(tmp_path: Path, look: Look, command: object) -> None:
    folder = tmp_path / "node_modules/p"
    package(folder, name="p", bin=command)
    file = made(folder / "bin/x.js", "binary")
    assert look(str(file)) == File(str(file), "p", "")
    other = made(folder / "bin/install.js")
    assert look(str(other)) == File(str(other))


def test_a_packages_cli_without_being_named(tmp_path: Path, look: Look) -> None:
    package(tmp_path / "p", name="p")
    file = made(tmp_path / "p/cli.js")
    assert look(str(file)) == File(str(file), "p", "")


@pytest.mark.parametrize("text", ["[]", "{", '{"bin": 3}', '{"bin": {"x": 3}}', "null"])
def test_what_npm_does_not_write_is_no_package(tmp_path: Path, look: Look, text: str) -> None:
    made(tmp_path / "p/package.json", text)
    assert look(str(made(tmp_path / "p/cli.js"))) == File(str(tmp_path / "p/cli.js"))
