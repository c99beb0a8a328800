"""`keepline podman run` and `keepline docker run`, with programs that stand for the engines.

They do what the engines do with a network namespace; scripts/containers has the engines themselves.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
import trio

from relay.record.events import AnyEvent, SessionEnded, SessionStarted
from relay.record.flightlog import read
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.command.sealed import stays
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER, Internet

PORT: Final = 8080
EXCHANGE: Final = f"exec 3<>/dev/tcp/server.test/{PORT}; echo hello >&3; read -r l <&3; echo $l"

PODMAN: Final = """#!/bin/sh
[ "$1" = unshare ] && shift && exec "$@"
for word; do case $word in --network=ns:/proc/*) pid=${word#*/proc/}; pid=${pid%%/*} ;; esac; done
while [ "$1" != image ]; do shift; done
shift
[ $(id -u) = 0 ] || user="-U --preserve-credentials"
exec nsenter -t "$pid" $user -n "$@"
"""
DOCKER: Final = """#!/bin/sh
for word; do case $word in
    --volume=*:/run/keepline:ro) folder=${word#*=}; folder=${folder%%:*} ;;
    --env=KEEPLINE_RELAY=*) name=${word##*/} ;;
esac; done
while [ "$1" != image ]; do shift; done
shift
KEEPLINE_RELAY=$folder/$name exec CONTAINER "$@"
"""


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    """Return a keepline in whose PATH the engines are."""
    await nursery.start(serve, echo, listen(internet.server, SERVER, PORT))
    made = Keepline(internet)
    folder = made.folder / "bin"
    folder.mkdir()
    for name, text in (("podman", PODMAN), ("docker", DOCKER)):
        path = folder / name
        path.write_text(text.replace("CONTAINER", shlex.join(stays())))
        path.chmod(0o755)
    needs("nsenter")
    runtime = made.folder / "runtime"
    runtime.mkdir()
    made.environment["XDG_RUNTIME_DIR"] = str(runtime)
    made.environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    return made


def events(keepline: Keepline) -> list[AnyEvent]:
    """Return those of the one session that there was."""
    (path,) = keepline.sessions.glob("*.jsonl")
    return list(read(path))


def sockets_left(keepline: Keepline) -> list[Path]:
    """Return the folders of relays that have not been removed."""
    return list((keepline.folder / "runtime").iterdir())


async def run(keepline: Keepline, engine: str, *words: str, options: Sequence[str] = ()) -> Done:
    return await keepline.call(engine, *options, "run", *words)


async def test_podmans_container_has_the_network_of_a_session(keepline: Keepline) -> None:
    done = await run(keepline, "podman", "--rm", "image", "bash", "-c", f"{EXCHANGE}; exit 7")
    assert (done.status, done.stdout, done.stderr) == (7, b"hello\n", "")
    started, *_others, ended = events(keepline)
    assert (type(started), type(ended)) == (SessionStarted, SessionEnded)


async def test_dockers_container_has_a_relay_of_its_own(keepline: Keepline) -> None:
    inside = keepline.argv("run", "--", "bash", "-c", f"{EXCHANGE}; exit 7")
    done = await run(keepline, "docker", "--rm", "image", *inside)
    assert (done.status, done.stdout, done.stderr) == (7, b"hello\n", "")
    assert isinstance(events(keepline)[-1], SessionEnded)
    assert sockets_left(keepline) == []


@pytest.mark.parametrize("engine", ["podman", "docker"])
async def test_rules_and_mistakes_are_those_of_a_session(keepline: Keepline, engine: str) -> None:
    inside = keepline.argv("run", "--") if engine == "docker" else []
    words = ("--rm", "image", *inside, "bash", "-c", EXCHANGE)
    done = await run(keepline, engine, *words, options=["--deny", "server.test"])
    assert b"hello" not in done.stdout
    for wrong, told in (
        (("run", "--network=host", "image"), "--network cannot be had here"),
        (("ps",), f"of {engine}'s commands, only run"),
        (("--strict", "run", "image"), "are not for containers"),
        (("--deny", "a*b", "run", "image"), "a*b"),
    ):
        done = await keepline.call(engine, *wrong)
        assert done.status == 125
        assert told in done.stderr
