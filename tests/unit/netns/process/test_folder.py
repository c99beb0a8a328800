"""The working folder: its path, and what is said where it is gone."""

import os
from pathlib import Path

import pytest

from netns.errors import SandboxError
from netns.process import folder


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that may be removed."""
    made = tmp_path / "working"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def test_its_path_is_told_and_entered(working: Path) -> None:
    assert folder.current() == str(working.resolve())
    folder.enter("/")
    assert folder.current() == "/"


def test_one_that_is_gone_is_an_error_with_the_next_step(working: Path) -> None:
    working.rmdir()
    with pytest.raises(SandboxError) as caught:
        folder.current()
    assert caught.value.cause == f"the working folder: {os.strerror(2)}"
    assert "a folder that exists" in caught.value.next_step
    with pytest.raises(SandboxError) as caught:
        folder.enter(str(working))
    assert str(working) in caught.value.cause
