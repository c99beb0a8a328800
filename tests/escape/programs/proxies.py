"""Ways to the credentials of the session's proxy."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .met import attempt


def credentials(facts: Any) -> str:
    """Read all that may name the proxy: variables, processes, settings, the session's record."""
    found = [*os.environ.values()]
    for path in _places(facts):
        with attempt():
            found.append(path.read_text(errors="replace"))
    return "\n".join(found)


def _places(facts: Any) -> Iterator[Path]:
    for pid in ("self", os.getppid(), facts.relay):
        yield Path(f"/proc/{pid}/environ")
        yield Path(f"/proc/{pid}/cmdline")
    for folder in facts.folders:
        yield from (path for path in Path(folder).rglob("*") if path.is_file())
