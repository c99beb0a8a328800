"""Commands beside `run` are modules of their own, which a start of `run` does not import."""

import importlib
import subprocess
import sys

import pytest

from relay import cli
from relay.printing import EXIT_OWN_FAILURE
from relay.sidecar import command

MODULES = [*cli.COMMANDS_BESIDE_RUN.values(), *(module for module, _help in command.WORDS.values())]


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
