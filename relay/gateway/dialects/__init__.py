"""The APIs whose answers the gateway understands: one module each, known by standing here; pure.

Each has DIALECT, a Dialect. No other file of relay/ names one of them.
"""

import importlib
import pkgutil
from typing import Final

from relay.config import Settings
from relay.gateway.dialect import Dialect


def discovered() -> tuple[Dialect, ...]:
    """Return the dialects of this package's modules, in alphabetical order of the modules."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__, f"{__name__}."))
    return tuple(importlib.import_module(name).DIALECT for name in names)


DIALECTS: Final = discovered()


def dialect_of_program(name: str) -> Dialect | None:
    """Return the dialect that a program of this name is known to speak; None if for none."""
    return next((dialect for dialect in DIALECTS if name in dialect.programs), None)


def dialect_of_package(name: str) -> Dialect | None:
    """Return the dialect that the command of a package of npm speaks; None if for none."""
    return next((dialect for dialect in DIALECTS if name in dialect.packages), None)


def dialect_of_file(path: str) -> Dialect | None:
    """Return the dialect that a file speaks by the folder in which it is; None if by none."""
    folder = path.rpartition("/")[0]
    return next((dialect for dialect in DIALECTS if folder.endswith(dialect.folders)), None)


def is_api_host(host: str) -> bool:
    """Return whether a host is an API's own, in any dialect."""
    return any(dialect.is_spoken_by(host) for dialect in DIALECTS)


def dialect_of_host(host: str, default: Dialect) -> Dialect:
    """Return the dialect that a host is known to speak."""
    return next((dialect for dialect in DIALECTS if dialect.is_spoken_by(host)), default)


def programs() -> tuple[str, ...]:
    """Return the commands for which the gateway is on by default."""
    return tuple(program for dialect in DIALECTS for program in dialect.programs)


DEFAULT: Final = dialect_of_host(Settings().gateway_hosts[0], DIALECTS[0])
"""What is assumed where nothing tells which it is: that of the settings' default host."""
