"""Lists of what a program needs, by name: each is a data file beside this one.

They name hosts that belong to one service, at the ports that it has, and never whole domains in
which anybody may have a host, but where their text says so.
"""

import tomllib
from functools import cache
from typing import Final, NamedTuple, get_args

from relay.policy.policy import Preset
from relay.policy.rules import Rule

PRESETS: Final[tuple[Preset, ...]] = get_args(Preset)


class Loaded(NamedTuple):
    """A preset."""

    about: str
    """Whom it is for."""
    allow: tuple[Rule, ...]


@cache
def load(name: Preset) -> Loaded:
    """Read a preset."""
    with open(f"{__path__[0]}/{name}.toml", encoding="utf-8") as file:  # noqa: PTH123 - is quick
        read = tomllib.loads(file.read())
    source = f"preset {name}"
    entries = (each if isinstance(each, dict) else {"host": each} for each in read["allow"])
    rules = (
        Rule.parse(entry["host"], source=source, reason=entry.get("reason", ""), is_preset=True)
        for entry in entries
    )
    return Loaded(read["about"], tuple(rules))
