"""The levels of isolation that are tried, by name, and the options of `keepline run` for each."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

Level: TypeAlias = Literal["nothing", "default", "strict"]
Caller: TypeAlias = Literal["user", "root"]

CALLERS: Final[tuple[Caller, ...]] = ("user", "root")

CONTROL: Final[Level] = "nothing"
"""Without keepline: there each program has to get out, or its row shows nothing."""

OPTIONS: Final[Mapping[Level, tuple[str, ...]]] = {
    "default": (),
    "strict": ("--strict",),
}
