"""Says before a command starts that it has somebody outside do its work."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from relay.command.side_doors import side_door
from relay.config import Settings
from relay.host.processes import runs
from relay.record.events import Event, SideDoor


def tell(
    command: Sequence[str],
    settings: Settings,
    record: Callable[[Event], None],
    warn: Callable[[str], None],
) -> None:
    """Record it and say it in a line, if that is known of the command."""
    share = settings.share if settings.strict else None
    found = side_door(command, os.environ, share, runs, lambda path: Path(path).is_socket())
    if found is not None:
        program, asks = found
        event = SideDoor(program=program, asks=asks)
        record(event)
        warn(event.text())
