"""All rows, in the order of the page."""

from typing import Final

from tests.bounds.row import Row

from . import descriptors, names, programs, upstreams

ROWS: Final[tuple[Row, ...]] = (*programs.ROWS, *descriptors.ROWS, *names.ROWS, *upstreams.ROWS)
