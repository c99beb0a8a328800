"""Says before a command starts that it has somebody outside do its work."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from relay.command.side_doors import side_door
from relay.config import Settings
from relay.gateway.setup.files import real_path
from relay.host.processes import listening, runs
from relay.record.events import Event, SideDoor


class _ThisHost:
    """The host that keepline runs on."""

    runs = staticmethod(runs)
    listening = staticmethod(listening)

    def is_socket(self, path: str) -> bool:
        """Return whether a path is that of a socket."""
        return Path(path).is_socket()

    def real_name(self, word: str) -> str:
        """Return the name of the file that a word of a command leads to; empty if there is none."""
        return real_path(os.environ.get("PATH", os.defpath), word).rpartition("/")[2]


def tell(
    command: Sequence[str],
    settings: Settings,
    record: Callable[[Event], None],
    warn: Callable[[str], None],
) -> None:
    """Record it and say it in a line, if that is known of the command."""
    share = settings.share if settings.strict else None
    found = side_door(command, os.environ, share, _ThisHost())
    if found is not None:
        program, asks = found
        event = SideDoor(program=program, asks=asks)
        record(event)
        warn(event.text())
