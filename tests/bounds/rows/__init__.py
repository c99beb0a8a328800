"""All rows, in the order of the page."""

from typing import Final

from tests.bounds.row import Row

from . import descriptors, gateway, names, programs, upstreams

ROWS: Final[tuple[Row, ...]] = (
    *programs.ROWS,
    *descriptors.ROWS,
    *gateway.ROWS,
    *names.ROWS,
    *upstreams.ROWS,
)
