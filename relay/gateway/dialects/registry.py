"""The dialects that are known, and which of them a host or a command speaks; pure."""

from collections.abc import Sequence
from typing import Final

from relay.gateway.dialect import Dialect
from relay.gateway.dialects.anthropic import ANTHROPIC

DIALECTS: Final[tuple[Dialect, ...]] = (ANTHROPIC,)
"""The first one is assumed where nothing tells which it is."""


def dialect_of_command(command: Sequence[str]) -> Dialect | None:
    """Return the dialect that a command is known to speak; None if it is known for none."""
    program = command[0].rpartition("/")[2] if command else ""
    return next((dialect for dialect in DIALECTS if program in dialect.programs), None)


def dialect_of_host(host: str, default: Dialect) -> Dialect:
    """Return the dialect that a host is known to speak."""
    return next((dialect for dialect in DIALECTS if dialect.is_spoken_by(host)), default)


def programs() -> tuple[str, ...]:
    """Return the commands for which the gateway is on by default."""
    return tuple(program for dialect in DIALECTS for program in dialect.programs)
