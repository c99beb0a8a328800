"""How many descriptors there are, and spare ones for what must go on when no other can be opened.

The classical trick at the limit: a spare one is closed, so that one call succeeds, and is taken
again. There is one stock, SPARE, as there is one table of descriptors in a process.
"""

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

COUNT: Final = 8
"""More than a connection that is reset, or certificates, need at a time."""


class Spare:
    """A stock of descriptors; empty until keep() is called."""

    def __init__(self) -> None:
        self._kept: list[int] = []
        self._wanted = 0
        self._borrowers = 0

    def keep(self, count: int = COUNT) -> None:
        """Keep so many from now on, or as many as can be had; 0 closes all."""
        self._wanted = count
        while len(self._kept) > count:
            with contextlib.suppress(OSError):  # a close that fails has closed, close(2)
                os.close(self._kept.pop())
        with contextlib.suppress(OSError):
            while len(self._kept) < count:
                self._kept.append(os.open(os.devnull, os.O_RDONLY))

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Free them for what is called inside, and take as many again after it.

        What is called awaits nothing, so that no other task of the process takes them. It may
        borrow in its turn, as an import leads to another: the last to end takes them again.
        """
        wanted = self._wanted
        self.keep(0)
        self._wanted = wanted
        self._borrowers += 1
        try:
            yield
        finally:
            self._borrowers -= 1
            if not self._borrowers:
                self.keep(wanted)


SPARE: Final = Spare()


class Limit:
    """How many descriptors this process may have open, once raise_to_hard() has found that out."""

    def __init__(self) -> None:
        self.most = resource.RLIM_INFINITY

    def raise_to_hard(self) -> None:
        """Take as many as may be had: a connection needs two, its program one.

        The command was started before and keeps its own limit. Where a filter forbids to ask for
        them, those that there are have to do.
        """
        with contextlib.suppress(OSError):
            self.most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            self.most = hard

    def share(self, part: int, most: int) -> int:
        """Return the `part`th of them, `most` at most: what waits leaves the rest to others."""
        if self.most == resource.RLIM_INFINITY:
            return most
        return max(min(self.most // part, most), 1)


LIMIT: Final = Limit()


def at_all_costs(call: Callable[[], T]) -> T:
    """Return what `call` returns; at the limit it is called again with the spare ones free."""
    try:
        return call()
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
    with SPARE.lent():
        return call()
