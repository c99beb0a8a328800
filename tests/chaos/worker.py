"""Plays one row in an internet of its own, and writes what was measured as JSON; one process."""

import json
import sys
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

import trio

from netns.errors import SandboxError
from tests.support.internet.enter import enter

from .row import Row, Sample, Scene
from .rows import ROWS
from .stage import stage

_FLUSHED: Final = 0.5
"""Seconds, after which a relay has written its events."""


@dataclass(frozen=True)
class Played:
    """What became of a row."""

    keepline: list[Sample]
    bare: list[Sample]
    hidden: int
    """Losses, by keepline's own count."""
    told: int
    failure: str = ""
    """Why it could not be played."""

    @classmethod
    def from_json(cls, text: str) -> "Played":
        """Read what `main` wrote."""
        said: dict[str, Any] = json.loads(text)
        for kind in ("keepline", "bare"):
            said[kind] = [Sample(**sample) for sample in said[kind]]
        return cls(**said)


async def play(row: Row, times: int, bare: int, *, is_short: bool) -> Played:
    """Play it."""
    async with stage(row.through) as it:
        seconds = row.short if is_short else row.seconds
        scene = Scene(it, row, times, bare, seconds, is_short)
        await row.play(scene)
        await trio.sleep(_FLUSHED)
        hidden, told = scene.losses()
    return Played(scene.samples["keepline"], scene.samples["bare"], hidden, told)


def main() -> int:
    """Play the row with the name, and the proxy, that stand in the arguments."""
    name, times, bare, is_short, through = sys.argv[1:]
    rows = [replace(each, through=through) for each in ROWS]
    (row,) = [each for each in rows if each.name == name]
    try:
        enter(as_root=False)
    except SandboxError as error:
        played = Played([], [], 0, 0, f"{error.cause}; {error.next_step}")
    else:
        played = trio.run(partial(play, row, int(times), int(bare), is_short=is_short == "short"))
    sys.stdout.write(json.dumps(asdict(played)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
