"""The APIs whose answers the gateway understands: one module each, known by standing here; pure.

Each has DIALECT, a Dialect. No other file of relay/ names one of them.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Final

from relay.config import Settings
from relay.gateway.dialect import Dialect


def discovered() -> tuple[Dialect, ...]:
    """Return the dialects of this package's modules, in alphabetical order of the modules."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    return tuple(importlib.import_module(name).DIALECT for name in names)


DIALECTS: Final = discovered()


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


DEFAULT: Final = dialect_of_host(Settings().gateway_hosts[0], DIALECTS[0])
"""What is assumed where nothing tells which it is: that of the settings' default host."""
