"""The settings as people read them: their flags, types, defaults and help; pure."""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from relay.config.settings import DEFAULTS, OF_FILES_ALONE, Settings

_FLAGS: Final = {"host_ports": "--host-port", "auto_ports": "--no-auto-ports"}
"""Flags that are not called like their setting."""


class Described(NamedTuple):
    """A setting, for people."""

    name: str
    kind: type
    """int, str, bool or tuple."""
    choices: tuple[str, ...]
    default: Any
    description: str

    @property
    def flag(self) -> str:
        """The flag that sets it."""
        return _FLAGS.get(self.name) or f"--{self.name.replace('_', '-')}"

    @property
    def shown_default(self) -> str:
        """What holds if it is not set, for people."""
        if self.default in ((), False):
            return "default: none"
        if self.default is True:
            return "default: on"
        shown = ",".join(self.default) if isinstance(self.default, tuple) else self.default
        return f"default: {shown}"


def described() -> Iterator[Described]:
    """Describe what may be a flag, in order; the types and texts are those of Settings."""
    for name, annotated in Settings.__annotations__.items():
        if name in OF_FILES_ALONE:
            continue
        kind, meta = annotated.__origin__, annotated.__metadata__[0]
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        default = DEFAULTS[name]
        yield Described(name, type(default), choices, default, meta.description or "")
