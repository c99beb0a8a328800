"""Terminals of the caller's: the session's own, or another."""

import os
import pty
import shutil
import tty
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.escape.arena import (
    USER,
)
from tests.escape.attempts import Attempt
from tests.escape.row import Stage


def terminal(*, own: bool) -> Stage:
    """Return a stage with a terminal of the caller's: the session's own, or another."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        outer, inner = pty.openpty()
        if attempt.arena.ordinary:
            os.fchown(inner, USER, USER)
        if own:
            os.set_blocking(inner, False)
            attempt.kept["terminal"] = [inner]
            attempt.popen |= dict.fromkeys(("stdin", "stdout", "stderr"), inner)
            attempt.popen["start_new_session"] = False
            attempt.prefix[:0] = [shutil.which("setsid") or "setsid", "--ctty"]
        else:
            tty.setcbreak(inner)
            os.set_blocking(outer, False)
            attempt.kept["terminal"] = [outer]
            attempt.facts["terminal"] = os.ttyname(inner)
            os.write(outer, f"{attempt.secret}\n".encode())
        try:
            yield
        finally:
            os.close(outer)
            os.close(inner)

    return stage
