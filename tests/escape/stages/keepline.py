"""What is keepline's own: settings, records, an installation, names that it has answered."""

import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import h11
import trio

from tests.escape.arena import (
    ALLOWED,
    DENIED,
    OTHER_PORT,
    PORT,
)
from tests.escape.attempts import Attempt
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.zone import Trouble

_ROOT: Final = Path(__file__).resolve().parents[3]


@asynccontextmanager
async def rebinding(attempt: Attempt) -> AsyncIterator[None]:
    """A name whose address changes after each second answer, from allowed to denied."""
    name, answers = f"{attempt.token}.rebind.test", iter(range(1000))
    attempt.arena.internet.zone.add(name, "A", ALLOWED, ttl=0)
    allowed, denied = socket.inet_aton(ALLOWED), socket.inet_aton(DENIED)

    def spoil(wire: bytes) -> bytes:
        return wire.replace(allowed, denied) if next(answers) >= 1 else wire

    attempt.arena.internet.zone.set_trouble(name, Trouble(spoil=spoil))
    attempt.facts |= {"host": name, "port": OTHER_PORT}
    yield


@asynccontextmanager
async def settings(attempt: Attempt) -> AsyncIterator[None]:
    """Rules in a file that the program may write."""
    folder = attempt.arena.home / f"{attempt.token}-config"
    path = folder / "keepline/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'deny = ["{DENIED}/32"]\n')
    for each in (folder, path.parent, path):
        attempt.arena.own(each)
    attempt.environment["XDG_CONFIG_HOME"] = str(folder)
    attempt.facts["config"] = str(path)
    yield


@asynccontextmanager
async def sessions(attempt: Attempt) -> AsyncIterator[None]:
    """A folder of records of its own."""
    folder = attempt.arena.home / f"{attempt.token}-state"
    path = folder / "keepline/sessions"
    path.mkdir(parents=True)
    if attempt.is_control:
        (path / "session.jsonl").write_text("as it was\n")
        attempt.arena.own(path / "session.jsonl")
    for each in (folder, path.parent, path):
        attempt.arena.own(each)
    attempt.environment["XDG_STATE_HOME"] = str(folder)
    attempt.facts["sessions"] = str(path)
    attempt.kept["folder"] = path
    yield


def record_rewritten(attempt: Attempt) -> bool:
    """The session's record has nothing but the token."""
    files = list(attempt.kept["folder"].iterdir())
    return any(attempt.token in path.read_text(errors="replace") for path in files)


@asynccontextmanager
async def installation(attempt: Attempt) -> AsyncIterator[None]:
    """An installation of keepline that the caller owns, as by pipx or from a clone."""
    folder = attempt.arena.internet.directory / f"{attempt.token}-clone"
    packages = Path(h11.__file__).parents[1]
    without = shutil.ignore_patterns("__pycache__")
    for source in (_ROOT / "relay", _ROOT / "netns", packages / "dns", packages / "h11"):
        await trio.to_thread.run_sync(
            lambda source=source: shutil.copytree(source, folder / source.name, ignore=without)  # type: ignore[misc]
        )
    for each in (folder, *folder.rglob("*")):
        attempt.arena.own(each)
    attempt.facts["installation"] = str(folder)
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r});"
        " from relay.__main__ import main; sys.exit(main())"
    )
    attempt.keepline[:] = [sys.executable, "-I", "-c", code, "run"]
    yield
    await trio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


@asynccontextmanager
async def known_address(attempt: Attempt) -> AsyncIterator[None]:
    """The address that stood for a name in another session, where that name was allowed."""
    arena = attempt.arena
    argv = ["run", "--", "getent", "ahostsv4", "other.test"]
    done = await arena.internet.client.run_process(
        arena.argv(*Keepline.argv(*argv)) if not attempt.is_control else argv[2:],
        env=arena.environment,
    )
    attempt.facts |= {"host": done.stdout.split()[0].decode(), "port": PORT}
    yield
