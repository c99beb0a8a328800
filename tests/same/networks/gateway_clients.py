"""A network with the API's host over TLS, whose authority all programs know by their variables."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.internet.servers.api.server import Api, context
from tests.support.internet.servers.listening import over_tls
from tests.support.internet.world import SERVER

from .situations import Network

NAME = "api.test"


@asynccontextmanager
async def answers(network: Network) -> AsyncIterator[None]:
    """Serve GET /v1/models, among others."""
    network.name(NAME, SERVER)
    authority = network.internet.authority
    network.variables |= authority.environment()
    await network.serve(over_tls(Api(), context(authority, NAME)), 443)
    yield
