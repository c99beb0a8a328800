"""Networks with an API of other manners than the agents' own: `router.test`, and what fronts do.

Each request to it is noted, and so is each connection that gets no answer.
"""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.same.row import Situation
from tests.support.internet.servers.api.manners import MANNERS, Manner, Router
from tests.support.internet.servers.api.server import context
from tests.support.internet.servers.listening import over_tls
from tests.support.internet.servers.tls import refusing
from tests.support.internet.world import SERVER

from .situations import Network

_NAME = "router.test"
_VARIABLES = {
    "ANTHROPIC_API_KEY": "not-a-key",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}


def router(manner: str | Manner) -> Situation:
    """Have the API in this manner at a base URL of plain HTTP."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        network.name(_NAME, SERVER)
        network.variables |= _VARIABLES | {"ANTHROPIC_BASE_URL": f"http://{_NAME}"}
        made = MANNERS[manner] if isinstance(manner, str) else manner
        await network.serve(Router(made, network.notes), 80)
        yield

    return situation


@asynccontextmanager
async def wants_certificate(network: Network) -> AsyncIterator[None]:
    """The front at a base URL of TLS wants a certificate, and the program has one."""
    made = _front(network)
    folder = network.internet.directory
    network.variables |= network.internet.authority.identity(folder, "a secret")
    await network.serve(over_tls(Router(Manner(), network.notes), made), 443)
    yield


@asynccontextmanager
async def lacks_certificate(network: Network) -> AsyncIterator[None]:
    """The front wants a certificate, and the program has none."""
    made = _front(network)
    with network.internet.server:
        listener = socket.create_server((SERVER, 443))
    with listener, refusing(listener, made, network.notes):
        yield


def _front(network: Network) -> ssl.SSLContext:
    """Make the context of a front that wants a certificate, at a base URL of TLS."""
    network.name(_NAME, SERVER)
    authority = network.internet.authority
    network.variables |= _VARIABLES | authority.environment()
    network.variables["ANTHROPIC_BASE_URL"] = f"https://{_NAME}"
    made = context(authority, _NAME, protocols=("http/1.1",))
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(authority.file)
    return made


def answers_over_tls(answer: bytes) -> Situation:
    """Have `router.test` give this answer to all requests, over TLS."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        network.name(_NAME, SERVER)
        authority = network.internet.authority
        network.variables |= authority.environment()

        async def give(stream: trio.abc.Stream) -> None:
            while await stream.receive_some():
                network.notes.append("a request")
                await stream.send_all(answer)

        made = context(authority, _NAME, protocols=("http/1.1",))
        await network.serve(over_tls(give, made), 443)
        yield

    return situation


@asynccontextmanager
async def alerts(network: Network) -> AsyncIterator[None]:
    """The front at a base URL of TLS answers each ClientHello by a fatal handshake_failure."""
    network.name(_NAME, SERVER)
    network.variables |= _VARIABLES | network.internet.authority.environment()
    network.variables["ANTHROPIC_BASE_URL"] = f"https://{_NAME}"

    async def alert(stream: trio.abc.Stream) -> None:
        if await stream.receive_some():
            network.notes.append("a connection")
            await stream.send_all(b"\x15\x03\x03\x00\x02\x02\x28")

    await network.serve(alert, 443)
    yield
