"""The small internet of one row: `server.test` serves one site at 80 and, over TLS, at 443.

    async with stage() as it:
        players = await it.players("bun", keepline=3, bare=1)

Bun and Python speak TLS, as the real client does; Node plain HTTP, for its fetch gives a TLS
handshake ten seconds and no more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from itertools import count
from typing import Final
from urllib.parse import quote

import trio

from tests.support.command.keepline import Keepline
from tests.support.internet.hosts import Host
from tests.support.internet.servers.listening import Handler, listen, over_tls, serve
from tests.support.internet.servers.real_proxies import (
    PASSWORD,
    USER,
    listening,
    start_microsocks,
    start_squid,
)
from tests.support.internet.world import NAMES, SERVER, THIRD, Internet

from .players import Kind, Player
from .starts import starting

NAME = "server.test"


class Stage:
    """What the rows play on; made by `stage`."""

    def __init__(self, internet: Internet, nursery: trio.Nursery, undo: ExitStack) -> None:
        self.internet = internet
        self.nursery = nursery
        self._undo = undo
        self._numbers = count(1)
        self.way_out: tuple[str, ...] = ()
        """Options of every keepline: the proxy, if there is one."""

    async def serve_site(self, site: Handler, name: str = NAME, address: str = SERVER) -> None:
        """Serve a site at both ports of the server."""
        await self.serve(site, 80, address)
        await self.serve(self.over_tls(site, name), 443, address)

    def over_tls(self, handler: Handler, name: str = NAME) -> Handler:
        """Have `handler` serve the inside of TLS."""
        return over_tls(handler, self.internet.authority.server_context(name))

    async def serve(self, handler: Handler, port: int, address: str = SERVER) -> None:
        """Serve connections to one port."""
        await self.nursery.start(serve, handler, listen(self.internet.server, address, port))

    async def players(
        self,
        kind: Kind,
        *,
        keepline: int = 0,
        bare: int = 0,
        options: Sequence[str] = (),
        launch: Sequence[str] | None = None,
    ) -> list[Player]:
        """Start clients, so many under keepline and so many bare, and wait until they are ready.

        `launch` takes the place of `python -m relay`.
        """
        run = [*(launch or Keepline.argv()), "run", *self.way_out, *options]
        made = []
        for argv in [run] * keepline + [None] * bare:
            async with starting():
                made.append(self._player(kind, argv))
                await made[-1].ready.wait()
        return made

    def _player(self, kind: Kind, keepline: Sequence[str] | None) -> Player:
        player = Player(
            self.internet.client,
            kind,
            self.internet.directory / f"player{next(self._numbers)}",
            keepline=keepline,
            environment={},
            trusted=self.internet.authority.environment(),
        )
        self._undo.enter_context(player)
        self.nursery.start_soon(player.listen)
        return player


async def _start_proxy(internet: Internet, program: str) -> str:
    """Start a proxy beside the servers, behind the NAT and what else fails; return its URL."""
    internet.server.use_resolvers(NAMES)
    internet.zone.remove(NAME, "AAAA")  # the servers speak IPv4
    scheme, start = _PROXIES[program]
    start(internet.server, THIRD, _PORT)
    await listening(internet.server, THIRD, _PORT)
    return f"{scheme}://{USER}:{quote(PASSWORD, safe='')}@{THIRD}:{_PORT}"


_PORT: Final = 3128
_PROXIES: Final[dict[str, tuple[str, Callable[[Host, str, int], None]]]] = {
    "squid": ("http", partial(start_squid, ports=(80,))),
    "microsocks": ("socks5", start_microsocks),
}
PROXIES: Final = tuple(_PROXIES)
"""By which a stage may have to be left."""


@asynccontextmanager
async def stage(through: str = "") -> AsyncIterator[Stage]:
    """Make the internet; at the end of the with statement nothing of it is left.

    Every keepline has the proxy `through` for its way out, if that is named.
    """
    with ExitStack() as undo:
        internet = undo.enter_context(Internet())
        async with trio.open_nursery() as nursery:
            await nursery.start(internet.serve_names)
            with ExitStack() as players:
                made = Stage(internet, nursery, players)
                if through:
                    made.way_out = ("--proxy", await _start_proxy(internet, through))
                yield made
            nursery.cancel_scope.cancel()


async def each(players: Sequence[Player], action: Callable[[Player], Awaitable[None]]) -> None:
    """Have all players do something at the same time."""
    async with trio.open_nursery() as nursery:
        for player in players:
            nursery.start_soon(action, player)


def base(player_kind: Kind, name: str = NAME) -> str:
    """Return the site's url for this client."""
    return f"http://{name}" if player_kind == "node" else f"https://{name}"
