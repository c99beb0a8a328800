"""Which call of the relay's is made where, and which of them fails now."""

import errno
import inspect
import os
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[3]
_RELAY: Final = f"{ROOT / 'relay'}{os.sep}"

_TRIO: Final = "/trio/_core/_run.py"
_LOOP: Final = frozenset({"setup_runner", "unrolled_run"})

ERRNOS: Final = tuple(
    getattr(errno, name)
    for name in (
        *("EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EPERM", "EINVAL"),
        *("ECONNRESET", "ETIMEDOUT", "ENETDOWN", "EIO", "ENOSPC", "EROFS"),
    )
)
"""What a call may fail with: whether the kernel would say so of this very call does not matter."""


class Site(NamedTuple):
    """A place in the relay's source from which the kernel is called."""

    file: str
    line: int
    call: str
    """As the source has it: socket, recv_into, os.splice."""
    via: str = ""
    """The function of the relay that has called the one in which it stands."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.call}" + (f" < {self.via}" if self.via else "")


class Injector:
    """Counts the calls of each site, and fails those of one."""

    def __init__(self) -> None:
        self.made: Counter[Site] = Counter()
        self.is_on = False
        """Whether calls are counted, and may fail."""
        self.spares = False
        """Whether what is made now belongs to a connection that is to meet no fault."""
        self.left = 0
        """How many calls of the site are still to fail."""
        self.limits = 0
        """How many calls of accept() meet the limit of descriptors, beside what else fails."""
        self._site: Site | None = None
        self._number = 0

    def arm(self, site: Site, number: int, times: int) -> None:
        """Let the next `times` calls of a site fail with an errno."""
        self._site, self._number, self.left = site, number, times

    def disarm(self) -> None:
        """Let nothing fail any more."""
        self._site, self.left, self.limits = None, 0, 0

    def fault(
        self, call: str, *, is_spared: bool = False, is_owned: bool = False
    ) -> OSError | None:
        """Note a call of the relay's; return the error with which it is to fail, if it is.

        A call that trio makes by itself, for a socket that is the relay's, counts as one too.
        """
        if not self.is_on:
            return None
        site = site_of(call, is_owned=is_owned)
        if site is None:
            return None
        if call == "accept" and self.limits:
            self.limits -= 1
            return OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.made[site] += 1
        if site != self._site or not self.left or is_spared or self.spares:
            return None
        self.left -= 1
        return OSError(self._number, os.strerror(self._number))


def site_of(call: str, *, is_owned: bool = False) -> Site | None:
    """Return where the relay makes this call; None if it is not the relay's."""
    frame = inspect.currentframe()
    near = _relays(frame)
    if near is None:
        return Site("trio", 0, call) if is_owned else None
    caller = _relays(near.f_back)
    file = str(Path(near.f_code.co_filename).relative_to(ROOT))
    return Site(file, near.f_lineno, call, caller.f_code.co_name if caller is not None else "")


def is_relays() -> bool:
    """Return whether the relay is what calls."""
    return _relays(inspect.currentframe()) is not None


def _relays(frame: FrameType | None) -> FrameType | None:
    """Return the nearest frame whose function stands in the relay's source.

    What runs trio's loop is not who calls: a task begins there.
    """
    while frame is not None and not frame.f_code.co_filename.startswith(_RELAY):
        if frame.f_code.co_name in _LOOP and frame.f_code.co_filename.endswith(_TRIO):
            return None
        frame = frame.f_back
    return frame


INJECTOR: Final = Injector()
