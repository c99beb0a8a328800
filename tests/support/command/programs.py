"""Finds the programs that people use; without one a test is skipped, or fails if skips may not be.

Those that scripts/programs installs come first, for they are of exact versions: they are in the
environment's folder `programs`.
"""

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

_FOLDER: Final = Path(__file__).resolve().parents[3] / ".venv/programs/node_modules/.bin"


def needs(name: str) -> str:
    """Return the program's path."""
    found = shutil.which(name, path=str(_FOLDER)) or shutil.which(name)
    if found is not None:
        return found
    reason = f"there is no {name} on this machine"
    if os.environ.get("REQUIRE_NETNS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
