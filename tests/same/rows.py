"""All rows, in the order of the table."""

from typing import Final

from . import rows_connections, rows_firewall, rows_names, rows_refused, rows_silent
from .row import Row

ROWS: Final[list[Row]] = [
    *rows_refused.ROWS,
    *rows_silent.ROWS,
    *rows_firewall.ROWS,
    *rows_connections.ROWS,
    *rows_names.ROWS,
]
