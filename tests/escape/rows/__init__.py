"""All rows, in the order of the table."""

from typing import Final

from tests.escape.row import Row

from . import (
    descriptors,
    files,
    names,
    packets,
    policy,
    ports,
    processes,
    relay,
    services,
    spaces,
    terminals,
)

ROWS: Final[list[Row]] = [
    *packets.ROWS,
    *spaces.ROWS,
    *descriptors.ROWS,
    *terminals.ROWS,
    *services.ROWS,
    *processes.ROWS,
    *files.ROWS,
    *names.ROWS,
    *policy.ROWS,
    *ports.ROWS,
    *relay.ROWS,
]
