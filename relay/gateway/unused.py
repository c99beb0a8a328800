"""Connections to an API's host that no gateway reads: the first to each host is recorded.

So that a lost answer is explained by what would have hidden it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from relay.addresses import Destination
from relay.gateway.dialects import is_api_host
from relay.record.events import Event, GatewayUnused
from relay.tcp.connection import Handler

PAST_BASE_URL: Final = "with http it serves what is asked at the base URL alone"


@dataclass
class Unused:
    """Takes the place of a gateway, or stands behind one."""

    _record: Callable[[Event], None]
    _why: str
    by_choice: bool = False
    served: Callable[[Destination, Handler], Handler | None] = lambda _destination, _past: None
    """Asked first: it returns what serves a destination all the same."""
    _told: set[str] = field(default_factory=set)

    def handler_at(self, destination: Destination, past: Handler) -> Handler | None:
        """Return what serves a destination; record one that a gateway could have served."""
        if (handler := self.served(destination, past)) is not None:
            return handler
        host = destination.name
        if host is not None and host not in self._told and is_api_host(host):
            self._told.add(host)
            self._record(GatewayUnused(host=host, why=self._why, by_choice=self.by_choice))
        return None
