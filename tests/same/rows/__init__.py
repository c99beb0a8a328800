"""All rows, in the order of the table."""

from typing import Final

from tests.same.row import Row
from tests.same.rows import (
    connections,
    dns,
    firewall,
    gateway,
    gateway_clients,
    machine,
    names,
    refused,
    sandboxes,
    silent,
)

ROWS: Final[list[Row]] = [
    *refused.ROWS,
    *silent.ROWS,
    *firewall.ROWS,
    *connections.ROWS,
    *machine.ROWS,
    *sandboxes.ROWS,
    *names.ROWS,
    *dns.ROWS,
    *gateway.ROWS,
    *gateway_clients.ROWS,
]
