"""All rows, in the order of the table."""

from typing import Final

from tests.same.row import Row
from tests.same.rows import connections, dns, firewall, gateway, machine, names, refused, silent

ROWS: Final[list[Row]] = [
    *refused.ROWS,
    *silent.ROWS,
    *firewall.ROWS,
    *connections.ROWS,
    *machine.ROWS,
    *names.ROWS,
    *dns.ROWS,
    *gateway.ROWS,
]
