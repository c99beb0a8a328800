"""Networks in which the host itself counts: its name, its addresses, a page for its browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from tests.support.internet.servers.http import Site
from tests.support.internet.world import CLIENT

from .situations import Network, served

OTHER: Final = "10.9.0.1"
"""Another address of the host's, of an interface that comes later."""


@asynccontextmanager
async def named_host(network: Network) -> AsyncIterator[None]:
    """The host's name, `me.test`, stands in DNS; `v4.test` serves at 8081 too."""
    network.name("me.test", CLIENT)
    await network.serve(Site(), 8081)
    async with served(network):
        yield


@asynccontextmanager
async def second_address(network: Network) -> AsyncIterator[None]:
    """The host gets a second address 1 s after the program has started."""

    async def add() -> None:
        await network.sleep(1)
        network.internet.access.left.add_address(f"{OTHER}/32")

    async with served(network), trio.open_nursery() as nursery:
        nursery.start_soon(add)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def page(network: Network) -> AsyncIterator[None]:
    """`v4.test` has a page at 81 that says whether the browser thinks that it is online."""
    script = "document.title = 'onLine is ' + navigator.onLine"
    folder = network.internet.directory / "site"
    folder.mkdir()
    (folder / "online.html").write_text(f"<title></title><script>{script}</script>")
    await network.serve(Site(files=folder), 81)
    yield
