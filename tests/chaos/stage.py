"""The small internet of one row: `server.test` serves one site at 80 and, over TLS, at 443.

    async with stage() as it:
        players = await it.players("bun", keepline=3, bare=1)

Bun and Python speak TLS, as the real client does; Node plain HTTP, for its fetch gives a TLS
handshake ten seconds and no more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import count

import trio

from tests.support.command.keepline import Keepline
from tests.support.internet.servers.listening import Handler, listen, over_tls, serve
from tests.support.internet.world import SERVER, Internet

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
        run = [*(launch or Keepline.argv()), "run", *options]
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
async def stage() -> AsyncIterator[Stage]:
    """Make the internet; at the end of the with statement nothing of it is left."""
    with ExitStack() as undo:
        internet = undo.enter_context(Internet())
        async with trio.open_nursery() as nursery:
            await nursery.start(internet.serve_names)
            with ExitStack() as players:
                yield Stage(internet, nursery, players)
            nursery.cancel_scope.cancel()


async def each(players: Sequence[Player], action: Callable[[Player], Awaitable[None]]) -> None:
    """Have all players do something at the same time."""
    async with trio.open_nursery() as nursery:
        for player in players:
            nursery.start_soon(action, player)


def base(player_kind: Kind, name: str = NAME) -> str:
    """Return the site's url for this client."""
    return f"http://{name}" if player_kind == "node" else f"https://{name}"
