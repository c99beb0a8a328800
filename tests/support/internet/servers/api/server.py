"""The fake API as a server: HTTP/2 or HTTP/1.1, by ALPN over TLS, HTTP/1.1 without TLS.

In the small internet:

    api = Api(Failure(Fault.FIN, Position.IN_TEXT))
    handler = over_tls(api, context(internet.authority, "server.test"))
    await nursery.start(serve, handler, listen(internet.server, SERVER, 443))

On loopback, in the process of a flow test:

    async with fake_api(Failure(Fault.FIN)) as served:
        served.port, served.url, served.log, served.script, served.client_context()
"""

import math
import ssl
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from tests.support.internet.servers.listening import Handler, over_tls, serve
from tests.support.internet.servers.tls import Authority

from .core import Core
from .faults import Failure, Script, Status
from .http1 import Http1
from .http2 import Http2
from .log import Log

BOTH: Final = ("h2", "http/1.1")
_LOOPBACK: Final = "127.0.0.1"
_NAMES: Final = (_LOOPBACK, "localhost", "server.test")


class Api(Core):
    """Call it with a stream."""

    async def __call__(self, stream: trio.abc.Stream) -> None:
        """Serve one connection."""
        self.log.connections += 1
        speak = Http2 if _protocol(stream) == "h2" else Http1
        await speak(self, stream, self.log.connections).serve()


@dataclass(frozen=True)
class Served:
    """A fake API that listens on loopback."""

    api: Api
    port: int
    authority: Authority | None
    """None: without TLS."""

    @property
    def log(self) -> Log:
        """What it was asked."""
        return self.api.log

    @property
    def script(self) -> Script:
        """What is still to go wrong."""
        return self.api.script

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http{'s' if self.authority else ''}://{_LOOPBACK}:{self.port}"

    def client_context(self, protocols: Sequence[str] = BOTH) -> ssl.SSLContext:
        """Make the context of a client that trusts it and speaks these protocols."""
        assert self.authority is not None, "it has no TLS"
        made = self.authority.client_context()
        made.set_alpn_protocols(list(protocols))
        return made


def context(authority: Authority, *names: str, protocols: Sequence[str] = BOTH) -> ssl.SSLContext:
    """Make the context of a server that offers these protocols, the first one first."""
    made = authority.server_context(*names)
    made.set_alpn_protocols(list(protocols))
    return made


@asynccontextmanager
async def fake_api(
    *failures: Failure | Status,
    protocols: Sequence[str] = BOTH,
    is_tls: bool = True,
    names: Sequence[str] = _NAMES,
    idle_limit: float = math.inf,
) -> AsyncIterator[Served]:
    """Serve on a port of loopback; at the end of the with statement its connections are cut."""
    api = Api(*failures, idle_limit=idle_limit)
    (listener,) = await trio.open_tcp_listeners(0, host=_LOOPBACK)
    port = listener.socket.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="api-") as folder:
        authority = Authority(Path(folder)) if is_tls else None
        handler: Handler = api
        if authority is not None:
            handler = over_tls(api, context(authority, *names, protocols=protocols))
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, handler, listener)
            yield Served(api, port, authority)
            nursery.cancel_scope.cancel()


def _protocol(stream: trio.abc.Stream) -> str | None:
    return stream.selected_alpn_protocol() if isinstance(stream, trio.SSLStream) else None
