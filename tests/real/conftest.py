"""These tests use the real network and the machine's own configuration: no small internet here."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command.both import CALLERS, Both
from tests.support.internet import enter

_FIGURES = pytest.StashKey[list[tuple[str, float, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = []
    config.addinivalue_line("markers", "for_root: what only root can do")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, without a skip, what only root can do."""
    if "root" in CALLERS:
        return
    for_root = [item for item in items if item.get_closest_marker("for_root")]
    config.hook.pytest_deselected(items=for_root)
    items[:] = [item for item in items if item not in for_root]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that every user may enter, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="real-"))
    made.chmod(0o755)
    before = os.umask(0o022)
    yield made
    os.umask(before)
    shutil.rmtree(made)


@pytest.fixture
def both(request: pytest.FixtureRequest, folder: Path, who: str) -> Both:
    assert not enter.has_entered(), "run these tests alone: pytest tests/real"
    return Both(who, folder, request.config.stash[_FIGURES])


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the person's environment without keepline's settings."""
    return {name: text for name, text in os.environ.items() if not name.startswith("KEEPLINE_")}


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show how long each program took in both ways."""
    for name, bare, kept in config.stash[_FIGURES]:
        terminalreporter.write_line(f"{name:32} bare {bare:6.2f} s   keepline {kept:6.2f} s")
