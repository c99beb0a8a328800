"""Lets few clients of all the rows' processes start at a time: starting is most of their work.

    async with starting():
        ...

The turns are locks on files of a folder whose name the processes inherit.
"""

import fcntl
import os
import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import trio

AT_ONCE: Final = 2
_VARIABLE: Final = "CHAOS_STARTS"


@contextmanager
def turns() -> Iterator[None]:
    """Have the processes that are made meanwhile take turns."""
    with tempfile.TemporaryDirectory(prefix="starts-") as folder:
        Path(folder).chmod(0o755)
        for number in range(AT_ONCE):
            Path(folder, str(number)).touch()
        os.environ[_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[_VARIABLE]


@asynccontextmanager
async def starting() -> AsyncIterator[None]:
    """Wait for a turn and have it; a process that was made by hand needs none."""
    folder = os.environ.get(_VARIABLE)
    if folder is None:
        yield
        return
    turn = os.open(Path(folder, str(random.randrange(AT_ONCE))), os.O_RDONLY)
    try:
        await trio.to_thread.run_sync(fcntl.flock, turn, fcntl.LOCK_EX)
        yield
    finally:
        os.close(turn)
