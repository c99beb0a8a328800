"""Commands beside `run` are modules of their own, which a start of `run` does not import."""

import importlib
import subprocess
import sys
from typing import Any, cast

import pytest

from netns.errors import EXIT_OWN_FAILURE
from netns.sandbox import Ended
from relay import cli, session
from relay.sidecar import command

BOTH = (*cli.COMMANDS_BESIDE_RUN.values(), *command.WORDS.values())
MODULES = [module for module, _help in BOTH]


@pytest.mark.parametrize("name", MODULES)
def test_each_word_has_its_module(name: str) -> None:
    assert callable(importlib.import_module(name).main)


@pytest.mark.parametrize("word", cli.COMMANDS_BESIDE_RUN)
def test_a_word_hands_the_rest_of_the_line_over(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([word, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: keepline {word} ")


@pytest.mark.parametrize("arguments", [["sidecar"], ["sidecar", "serve"], ["sidecars"], []])
def test_a_wrong_word_is_a_mistake_of_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == EXIT_OWN_FAILURE
    assert capsys.readouterr().err.startswith("usage: keepline ")


def test_run_imports_none_of_them() -> None:
    code = (
        "import sys; from relay import cli\n"
        "cli.main(['run'])\n"
        f"assert not set({MODULES}) & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], check=False, capture_output=True, text=True
    )
    assert "there is no command to run" in done.stderr
    assert done.returncode == 0, done.stderr


class Seen:
    """What a session would be given, and what stands beside it."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def run(
        self, _sandbox: object, _sources: object, command: list[str], *_others: object
    ) -> Ended:
        self.commands.append(list(command))
        return Ended(7)

    def end(self) -> None:
        """End nothing."""


@pytest.mark.parametrize(
    "words",
    [
        ["--", "make", "-j", "--dns=real"],
        ["make", "--help"],
        ["--", "--", "make"],
        ["make", "--", "all"],
        ["", "-"],
        ["--", "-c"],
    ],
)
def test_a_run_without_flags_is_read_as_the_parser_reads_it(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen()
    monkeypatch.setattr(session, "run", seen.run)
    for flags in ([], ["--dns=real"]):
        sandbox: Any = object()
        assert cli.main(["run", *flags, *words], sandbox, cast("Any", seen)) == 7
    without, parsed = seen.commands
    assert without == parsed


def test_a_run_without_flags_makes_no_parser() -> None:
    code = (
        "import sys; from relay import startup; startup.begin()\n"
        "from relay import cli, session\n"
        "session.run = lambda *_: sys.exit(type(sys.modules['argparse']) is type(sys))\n"
        "cli.main(['run', '--', 'true'], object(), object())\n"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
