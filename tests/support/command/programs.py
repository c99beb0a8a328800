"""Finds the programs that people use; without one a test is skipped, or fails if skips may not be.

Those that scripts/programs installs come first, for they are of exact versions: they are in the
environment's folder `programs`, newer versions of some below it.
"""

import os
import shutil
from pathlib import Path
from typing import Final, NoReturn

import pytest

_FOLDER: Final = Path(__file__).resolve().parents[3] / ".venv/programs"

VERSIONS: Final = ("2.1.143", "newest")
"""Of `claude`."""


def needs(name: str) -> str:
    """Return the program's path."""
    found = shutil.which(name, path=str(_FOLDER / "node_modules/.bin")) or shutil.which(name)
    return found or _lacks(name)


def needs_version(name: str, version: str) -> str:
    """Return the path of a program of which there are VERSIONS."""
    if version != "newest":
        return needs(name)
    found = shutil.which(name, path=str(_FOLDER / version / "node_modules/.bin"))
    return found or _lacks(f"{name}, {version}")


def needs_server(name: str) -> str:
    """Return the path of a program of requirements-servers.txt."""
    return shutil.which(name, path=str(_FOLDER / "servers/bin")) or _lacks(name)


def _lacks(name: str) -> NoReturn:
    reason = f"there is no {name} on this machine"
    if os.environ.get("REQUIRE_NETNS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
