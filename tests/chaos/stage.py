"""The small internet of one row: `server.test` serves one site at 80 and, over TLS, at 443.

    async with stage() as it:
        players = await it.players("bun", keepline=3, bare=1)

Bun and Python speak TLS, as the real client does; Node plain HTTP, for its fetch gives a TLS
handshake ten seconds and no more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from typing import Final

import trio

from tests.support.command.keepline import Keepline
from tests.support.internet.servers.listening import Handler, listen, over_tls, serve
from tests.support.internet.servers.real_proxies import listening
from tests.support.internet.world import NAMES, SERVER, THIRD, Internet

from .players import Kind, Player
from .starts import starting
from .ways import WAYS, Way

NAME = "server.test"

_PORT: Final = 3128


class Stage:
    """What the rows play on; made by `stage`."""

    def __init__(self, internet: Internet, nursery: trio.Nursery, undo: ExitStack) -> None:
        self.internet = internet
        self.nursery = nursery
        self._undo = undo
        self._numbers = count(1)
        self.hop = SERVER
        """Where every keepline's connections lead first: the server, or a proxy."""
        self._way_out: tuple[str, ...] = ()
        """Options of every keepline: the proxy, if there is one."""

    async def leave_by(self, way: Way) -> None:
        """Start a proxy beside the servers, behind the NAT and what else fails, as the way out."""
        internet = self.internet
        internet.server.use_resolvers(NAMES)
        internet.zone.remove(NAME, "AAAA")  # the servers speak IPv4
        way.start(internet.server, THIRD, _PORT)
        await listening(internet.server, THIRD, _PORT)
        self._way_out = ("--proxy", way.url(THIRD, _PORT))
        self.hop = THIRD

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
        run = [*(launch or Keepline.argv()), "run", *self._way_out, *options]
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


@asynccontextmanager
async def stage(through: str = "") -> AsyncIterator[Stage]:
    """Make the internet; at the end of the with statement nothing of it is left.

    Every keepline has the proxy `through` of WAYS for its way out, if that is named.
    """
    with ExitStack() as undo:
        internet = undo.enter_context(Internet())
        async with trio.open_nursery() as nursery:
            await nursery.start(internet.serve_names)
            with ExitStack() as players:
                made = Stage(internet, nursery, players)
                if through:
                    await made.leave_by(WAYS[through])
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
