"""Waits for files, which tell by no event that the standard library hears."""

import time
from pathlib import Path
from typing import Final

_POLL: Final = 0.01
_PATIENCE: Final = 60.0


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + _PATIENCE
    while not path.exists() and time.monotonic() < until:
        time.sleep(_POLL)
