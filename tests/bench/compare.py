"""Old against new: the relay of another revision and this tree's, under the same load, in turns.

Clients, servers and the small internet are this tree's, and so are the packages; of the other
revision only `netns` and `relay` run. Each pair has relays of its own. In a pair, each metric is
taken old, new, new, old, some times over, or the other way round in every second pair, so that
what the machine does meanwhile hits both alike.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import trio

from netns.errors import SandboxError
from tests.support.internet.enter import enter
from tests.support.internet.servers.api.server import Api, context
from tests.support.internet.servers.listening import listen, over_tls, serve

from . import ratios
from .clients import Client, LoadError
from .ratios import NEW, OLD, Figures, Measure
from .stage import beside_servers
from .variants import DIRECT, Variant
from .world import MANY, NAME, SERVER, World

_ROOT: Final = Path(__file__).resolve().parents[2]

_RUN: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    " from relay.__main__ import main; sys.exit(main())"
)
"""`python -m relay` of the tree that the first argument names."""

_GATEWAY: Final = ("--gateway=tls", f"--gateway-hosts={NAME}")
_NOT_INHERITED: Final = ("ANTHROPIC_BASE_URL", "SSL_CERT_DIR")
"""They would lead the gateway to another host, or to other authorities."""


@dataclass(frozen=True)
class Side:
    """One of the two trees."""

    name: str
    root: Path

    def variant(self, *options: str) -> Variant:
        """Return what stands before a command to run it under this tree's keepline."""
        argv = (sys.executable, "-I", "-c", _RUN, str(self.root), "run", *options, "--")
        return Variant(self.name, argv, "python")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; returns 1 if a ratio of processor seconds is above the limit, or it cannot run."""
    parser = argparse.ArgumentParser(prog="scripts/compare", description=__doc__)
    parser.add_argument("revision", metavar="REV", help="the old one, anything git knows")
    parser.add_argument("--new", metavar="REV", help="take it in place of this tree's files")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--limit", type=float, default=1.05, help="the highest ratio, new to old")
    parsed = parser.parse_args(arguments)
    try:
        with ExitStack() as undo:
            old = undo.enter_context(_checked_out(parsed.revision))
            new = undo.enter_context(_checked_out(parsed.new)) if parsed.new else _ROOT
            sides = (Side(OLD, old), Side(NEW, new))
            enter(as_root=False)
            run = partial(_pairs, sides=sides, number=parsed.pairs)
            figures: Figures = trio.run(beside_servers, run, _serve_api)
    except SandboxError as error:
        return _fail(f"{error.cause}\n  try: {error.next_step}")
    except LoadError as error:
        return _fail(str(error))
    except subprocess.CalledProcessError as error:
        return _fail(error.stderr.strip())
    table = list(ratios.compare(ratios.measures(SERVER, NAME, MANY), figures))
    sys.stdout.writelines(f"{line}\n" for line in ratios.table_lines(table))
    above = list(ratios.above(parsed.limit, table))
    for line in above:
        _fail(line)
    return 1 if above else 0


@contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    """Check a revision out for as long as the with statement takes; raises CalledProcessError."""
    git = partial(subprocess.run, cwd=_ROOT, check=True, stderr=subprocess.PIPE, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="keepline-old-") as folder:
        tree = Path(folder, "tree")
        git(["git", "worktree", "add", "--quiet", "--detach", str(tree), revision])
        try:
            yield tree
        finally:
            git(["git", "worktree", "remove", "--force", str(tree)])


async def _serve_api(world: World, nursery: trio.Nursery) -> None:
    """Serve the fake API at https://server.test."""
    tls = over_tls(Api(), context(world.authority, NAME))
    await nursery.start(serve, tls, listen(world.server, SERVER, 443))


def _pairs(world: World, sides: Sequence[Side], number: int) -> Figures:
    """Play all pairs; raises LoadError."""
    metrics = ratios.measures(SERVER, NAME, MANY)
    figures: dict[str, dict[str, list[float]]] = {
        metric.title: {side.name: [] for side in sides} for metric in metrics
    }
    with closing(Client(world, DIRECT)) as starter:
        for index in range(number):
            _tell(f"pair {index + 1} of {number}")
            with ExitStack() as pair:
                players = [pair.enter_context(_player(world, side, starter)) for side in sides]
                for metric in metrics:
                    for player in players:
                        player.take(metric, metric.warm_up)
                    _in_turns(players if index % 2 == 0 else players[::-1], metric, figures)
    return figures


def _in_turns(
    players: Sequence["_Player"], metric: Measure, figures: Mapping[str, dict[str, list[float]]]
) -> None:
    """Take a pair's figure of both: the median of its turns."""
    turns: dict[str, list[float]] = {player.name: [] for player in players}
    for player in (*players, *reversed(players)) * metric.times:
        turns[player.name].append(player.take(metric))
    for name, taken in turns.items():
        figures[metric.title][name].append(median(taken))


@dataclass(frozen=True)
class _Player:
    """One side in one pair."""

    name: str
    start_up: Sequence[str]
    """The command line of its `true`."""
    clients: Mapping[str, Client]
    """By what they are behind."""

    def take(self, metric: Measure, other: Mapping[str, Any] = {}) -> float:
        """Have the client do it, with some other arguments, and return the metric's figure."""
        client = self.clients[metric.behind]
        arguments = {**metric.arguments, **other}
        if metric.behind == "nothing":
            arguments["command"] = self.start_up
        try:
            before = client.processor_seconds()
            figure = client.ask(metric.order, **arguments)
            used = client.processor_seconds() - before
        except LoadError as error:
            raise LoadError(f"{self.name}, {metric.title}: {error}") from error
        return used / figure * metric.unit if metric.is_judged else figure


@contextmanager
def _player(world: World, side: Side, starter: Client) -> Iterator[_Player]:
    """Start a side's relays, and end them after the with statement."""
    kept = {name: text for name, text in world.environment.items() if name not in _NOT_INHERITED}
    trusting = kept | {"SSL_CERT_FILE": str(world.authority.file)}
    with (
        closing(Client(world, side.variant())) as plain,
        closing(Client(world, side.variant(*_GATEWAY), trusting)) as gateway,
    ):
        clients = {"keepline": plain, "gateway": gateway, "nothing": starter}
        yield _Player(side.name, [*side.variant().prefix, "true"], clients)


def _tell(what: str) -> None:
    sys.stderr.write(f"compare: {what}\n")


def _fail(message: str) -> int:
    _tell(message)
    return 1


if __name__ == "__main__":
    sys.exit(main())
