"""Plays rows as one caller, at each level in an arena of its own; writes outcomes as JSON lines."""

import ctypes
import os
import secrets
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Final, cast

import msgspec
import trio

from tests.support.internet.enter import enter

from .arena import Arena, cover_spare_folder, open_arena
from .attempts import Attempt, play
from .leaks import Leaks, leaks
from .levels import Caller, Level
from .row import Outcome, Row
from .rows import ROWS
from .stages.common import LackingError
from .stages.descriptors import make_bpf

_JOIN_SESSION_KEYRING: Final = 1
_KEYCTL: Final = {"x86_64": 250, "aarch64": 219}


@dataclass(frozen=True)
class Played:
    """What became of one row at one level."""

    row: str
    level: Level
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Watched:
    """What the wire of one level has shown of all its attempts."""

    level: Level
    leaks: Leaks


async def play_level(rows: list[Row], level: Level, caller: Caller, at_once: int) -> None:
    """Play all rows at one level."""
    limiter = trio.CapacityLimiter(at_once)
    async with open_arena(level, caller) as arena:

        async def one(row: Row) -> None:
            async with limiter:
                began = time.monotonic()
                outcome = await _outcome(row, arena)
                _tell(Played(row.way, level, outcome, round(time.monotonic() - began, 1)))

        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(one, row)
                await trio.lowlevel.checkpoint()
        _tell(Watched(level, leaks(arena)))


async def _outcome(row: Row, arena: Arena) -> Outcome:
    """Play one row; a defect of ours is an outcome too."""
    token = f"t{secrets.token_hex(12)}"
    folder = arena.folder / token
    folder.mkdir()
    arena.own(folder)
    try:
        return await play(Attempt(row, arena, token, f"s{secrets.token_hex(12)}", folder))
    except LackingError as error:
        return Outcome(got_out=False, met=f"this machine lacks it: {error}", is_lacking=True)
    except Exception:  # noqa: BLE001 - told with the row that it befell
        return Outcome(got_out=False, met=traceback.format_exc(), is_broken=True)


def _tell(what: Played | Watched) -> None:
    sys.stdout.write(msgspec.json.encode(what).decode() + "\n")
    sys.stdout.flush()


def main() -> int:
    """Play the rows whose names stand on stdin, a line each."""
    caller, level, at_once = sys.argv[1:]
    wanted = set(sys.stdin.read().splitlines())
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(_KEYCTL[os.uname().machine], _JOIN_SESSION_KEYRING, None)
    make_bpf()
    enter(as_root=os.geteuid() == 0)
    cover_spare_folder()
    rows = [row for row in ROWS if row.way in wanted]
    who, where = cast("Caller", caller), cast("Level", level)
    trio.run(play_level, rows, where, who, int(at_once))
    return 0


if __name__ == "__main__":
    sys.exit(main())
