"""Reads TOML that may be anybody's in a time that grows with its size alone; pure."""

import re
import tomllib
from typing import Any, Final

_KEY: Final = r"(?:[-\w]+|\"[^\"\n]*\"|'[^'\n]*')"
_DEEP: Final = rf"(?:^|[{{,])[ \t\[]*{_KEY}(?:[ \t]*\.[ \t]*{_KEY}){{8}}"
"""A key of more parts than any setting has: tomllib takes a time that grows with their square."""


class DeepKeyError(ValueError):
    """A key of too many parts, in this line."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}: a key of more parts than any setting has")
        self.line = line


def loads(text: str) -> dict[str, Any]:
    """Read a text; raises ValueError, DeepKeyError among it, or RecursionError."""
    if not text:  # most have no file: 3 ms
        return {}
    if deep := re.search(_DEEP, text, re.MULTILINE):
        raise DeepKeyError(text.count("\n", 0, deep.end()) + 1)
    return tomllib.loads(text)
