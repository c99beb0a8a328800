"""The real proxies that can be a keepline's way out, and what cannot be seen through each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import quote

from tests.support.internet.hosts import Host
from tests.support.internet.servers.real_proxies import (
    PASSWORD,
    USER,
    start_microsocks,
    start_squid,
)

RAW_PORT: Final = 7007
"""Of the rows whose server speaks neither TLS nor HTTP."""

PROXIED: Final = frozenset({1, 2, 5, 7, 8, 9, 10, 11, 13, 18, 19, 20, 21})
"""The rows that are played behind a proxy: those whose fault is of a connection."""

_NO_RESET: Final = "it ends its connections alike, whatever has ended the other one: a RST is a FIN"


@dataclass(frozen=True)
class Way:
    """A proxy."""

    scheme: str
    start: Callable[[Host, str, int], None]
    user: str = ""
    """USER:PASSWORD@ of its URL, if it wants that."""
    unseen: Mapping[int, str] = field(default_factory=dict)
    """By row, what of its promise nobody behind this proxy can keep, and why."""

    def url(self, address: str, port: int) -> str:
        """Return what `--proxy` is told."""
        return f"{self.scheme}://{self.user}{address}:{port}"


_KNOWN: Final = f"{USER}:{quote(PASSWORD, safe='')}@"

WAYS: Final[Mapping[str, Way]] = {
    "squid": Way(
        "http", partial(start_squid, ports=(80, RAW_PORT)), _KNOWN, unseen={13: _NO_RESET}
    ),
    "microsocks": Way("socks5", start_microsocks, _KNOWN, unseen={13: _NO_RESET}),
}
