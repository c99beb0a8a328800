"""All rows but the soak, in the order of the table."""

from typing import Final

from . import rows_dial, rows_flow, rows_gateway, rows_storm, rows_tls
from .row import Row

ROWS: Final[list[Row]] = sorted(
    [*rows_dial.ROWS, *rows_tls.ROWS, *rows_flow.ROWS, *rows_gateway.ROWS, *rows_storm.ROWS],
    key=lambda row: row.number,
)
