"""packaging/ci and packaging/systemd: their commands and settings are keepline's."""

import configparser
import shlex
from collections.abc import Iterator
from typing import Any, Final

import pytest

from relay.config.reading import from_environment

from . import FOLDER, read

GITHUB: Final = read("ci/github-actions.yml")["jobs"]["agent"]
GITLAB: Final = read("ci/gitlab-ci.yml")["agent"]
UNIT: Final = FOLDER / "systemd/keepline-relay.service"


def commands() -> Iterator[list[str]]:
    """Yield the words of all commands of keepline."""
    lines = [line for step in GITHUB["steps"] for line in step.get("run", "").splitlines()]
    lines += GITLAB["script"] + GITLAB["after_script"]
    for line in lines:
        words = shlex.split(line)
        if words[0] == "keepline":
            yield words


def test_their_commands_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    from relay import cli

    asked = list(commands())
    assert {words[1] for words in asked} == {"doctor", "run", "explain"}
    for words in asked:
        with pytest.raises(SystemExit) as ended:
            cli.main([words[1], "--help"])
        assert ended.value.code == 0
    assert "explain" in capsys.readouterr().out


def test_their_variables_are_settings() -> None:
    assert from_environment(GITLAB["variables"]) == {"intercept": "proxy"}
    names: dict[str, Any] = GITHUB.get("env", {})
    assert from_environment(names) == {}


@pytest.mark.parametrize("name", ["ci/github-actions.yml", "ci/gitlab-ci.yml"])
def test_what_was_not_run_says_so_in_its_first_line(name: str) -> None:
    assert (FOLDER / name).read_text().startswith("# Not run here: ")


def test_the_unit_starts_a_relay_in_a_folder_that_containers_keep() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    program, *words = service["ExecStart"].split()
    assert program.endswith("/keepline")
    assert words == ["relay", "--socket", f"%t/{service['RuntimeDirectory']}/relay.sock"]
    assert service["RuntimeDirectoryMode"] == "0700"
    assert service["RuntimeDirectoryPreserve"] == "yes"
    assert f"-v $XDG_RUNTIME_DIR/{service['RuntimeDirectory']}:" in UNIT.read_text()
    assert UNIT.read_text().startswith("# Not started here")
