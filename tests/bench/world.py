"""Two hosts and a cable: the client's, with the variants' processes, and the server's."""

import os
import subprocess
import sys
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import trio

from tests.support.internet.hosts import Host
from tests.support.internet.links import Link
from tests.support.internet.servers.nameserver import serve_names
from tests.support.internet.servers.tls import Authority
from tests.support.internet.servers.zone import Zone

SERVER: Final = "203.0.113.10"
NAME: Final = "server.test"
MANY: Final = [f"203.0.113.{number}" for number in range(100, 140)]
"""Further addresses of the server, so that no connection is one of a burst."""
_NAMES: Final = "203.0.113.53"
# Not the server itself: pasta hands what goes to the gateway to its own host.
_GATEWAY: Final = "203.0.113.1"
_CLIENT: Final = "203.0.113.2"


class World:
    """The client's host, the server's, and the load's server running there."""

    def __init__(self) -> None:
        with ExitStack() as undo:
            self.client = undo.enter_context(closing(Host("client")))
            self.server = undo.enter_context(closing(Host("server")))
            link = Link((self.client, "eth0"), (self.server, "eth0"))
            link.left.add_address(f"{_CLIENT}/24")
            link.left.add_route("default", _GATEWAY)
            for address in (_GATEWAY, SERVER, _NAMES, *MANY):
                link.right.add_address(f"{address}/24")
            self.client.use_resolvers(_NAMES)
            self.environment = _environment(self.client.directory)
            self._start_server()
            self._undo = undo.pop_all()

    @cached_property
    def authority(self) -> Authority:
        """The certificate authority, made when first asked for."""
        return Authority(self.client.directory)

    def _start_server(self) -> None:
        command = [sys.executable, "-I", "-m", "tests.bench.server"]
        server = self.server.popen(command, stdout=subprocess.PIPE)
        assert server.stdout is not None
        server.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Kill what still runs in either host."""
        self._undo.close()

    async def serve_names(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Answer the client's one name, for `nursery.start`."""
        zone = Zone()
        zone.add(NAME, "A", SERVER)
        await serve_names(self.server, _NAMES, zone, task_status=task_status)


def _environment(directory: Path) -> dict[str, str]:
    """Return the caller's environment without its keepline: no settings, sessions of its own."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("KEEPLINE_")}
    return kept | {
        "XDG_CONFIG_HOME": str(directory / "config"),
        "XDG_STATE_HOME": str(directory / "state"),
    }
