"""The listening socket of keepline's proxy, on loopback alone, and the ways in that it makes."""

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from netns.errors import KeeplineError
from relay.addresses import Endpoint
from relay.barrier import Record
from relay.config import Settings, way_out
from relay.config.publishing import OFF
from relay.gateway.setup.prepare import BASE_URL_PORT, Place, Prepared, Without
from relay.inbound.offer import Inbound
from relay.inbound.proxy.listener import ProxyListener
from relay.inbound.proxy.place import LOOPBACK
from relay.inbound.proxy.secret import BYTES, Secret
from relay.inbound.socket_table import SocketTable
from relay.outbound.host_loopback import HostLoopback
from relay.policy.host_ports import HostPorts
from relay.ways_in import WaysIn

_BACKLOG: Final = 1024
_BASE_URL: Final[Endpoint] = (LOOPBACK, BASE_URL_PORT)
"""As what the gateway knows requests by a path; no connection is made to it."""

_NEEDS_NAMESPACE: Final = "needs a namespace, and a proxy has none: programs go past it"


@dataclass(frozen=True)
class Entrance:
    """Where programs ask for connections."""

    sock: socket.socket
    secret: Secret | None
    """What they have to show; None: whoever can connect is served."""

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        port: int = self.sock.getsockname()[1]
        return port

    @property
    def place(self) -> Place:
        """Where the gateway's base URL is."""
        return Place(self.port, self.secret)

    def ways_in(self, prepared: Prepared | Without) -> WaysIn:
        """Return the ways in of a relay, whose gateway has been prepared."""
        has_base_url = isinstance(prepared, Prepared) and prepared.chosen.mode == "http"
        return WaysIn(partial(self._make, _BASE_URL if has_base_url else None))

    def _make(
        self,
        base_url: Endpoint | None,
        _programs: SocketTable | None,
        record: Record,
        _loopback: HostLoopback,
    ) -> Sequence[Inbound]:
        return [ProxyListener(self.sock, record, self.secret, base_url)]

    def host_ports(self, settings: Settings) -> HostPorts:
        """Return the ports of the host's loopback that are open: its own never is, for it loops."""
        ports = HostPorts(settings.opened_ports())
        ports.withhold(self.port)
        return ports

    def require_other(self, out: "way_out.WayOut | None") -> None:
        """Raise KeeplineError if the way out leads back in here."""
        for proxy in out.routes.proxies if out is not None else ():
            is_here = proxy.host in (LOOPBACK, "localhost") and proxy.port == self.port
            if is_here:
                raise KeeplineError(
                    f"the way out, {proxy}, is this proxy itself",
                    "unset the variables that name it where keepline starts, or use --proxy",
                )


@contextlib.contextmanager
def opened(port: int, *, is_open: bool) -> Iterator[Entrance]:
    """Listen on 127.0.0.1, 0 for any port that is free; raises KeeplineError.

    `is_open`: all users of this host are served.
    """
    try:
        sock = socket.create_server((LOOPBACK, port), backlog=_BACKLOG)
    except OSError as error:
        raise KeeplineError(
            f"cannot listen at {LOOPBACK}:{port}: {error.strerror}", "choose another --port"
        ) from error
    with sock:
        sock.setblocking(False)  # noqa: FBT003 - positional only
        yield Entrance(sock, None if is_open else Secret.of(os.urandom(BYTES)))


def require_possible(settings: Settings) -> None:
    """Raise KeeplineError for a setting that promises what a proxy cannot keep."""
    published = settings.published()
    for name, is_set in (
        ("--strict", settings.strict),
        ("--home private", settings.home == "private"),
        ("--publish", published.mode != OFF and bool(published.asked)),
        ("policy_mode = allowlist", settings.policy_mode == "allowlist"),
    ):
        if is_set:
            raise KeeplineError(f"{name} {_NEEDS_NAMESPACE}", "leave one of the two out")


def told(entrance: Entrance, settings: Settings) -> str:
    """Return what is said at the start: what does not hold."""
    rules = "; rules bind only those that use it" if settings.has_rules else ""
    who = "" if entrance.secret is not None else ", for every user of this host"
    return (
        f"a proxy at {LOOPBACK}:{entrance.port}{who}, and no namespace: programs that ignore"
        f" proxies go past keepline{rules}"
    )
