"""Descriptors at their limit: in this process, or in another one that runs."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KIND = resource.RLIMIT_NOFILE


def highest(pid: int) -> int:
    """Return the highest descriptor that a process has open."""
    return max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())


def left(pid: int) -> int:
    """Return how many descriptors more a process may open."""
    most, _hard = resource.prlimit(pid, _KIND)
    return most - len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def at_the_limit(spare: int = 0) -> Iterator[None]:
    """Leave this process no descriptor that it could open, or so many, as if it had all it may."""
    before = resource.getrlimit(_KIND)
    fillers: list[int] = []
    resource.setrlimit(_KIND, (highest(os.getpid()) + 1, before[1]))
    try:
        _fill(fillers)
        for _ in range(spare):
            os.close(fillers.pop())
        yield
    finally:
        for descriptor in fillers:
            os.close(descriptor)
        resource.setrlimit(_KIND, before)


def _fill(fillers: list[int]) -> None:
    try:
        while True:
            fillers.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return


def leave(pid: int, count: int) -> None:
    """Let a process open so many descriptors more, or some of its own again, and no others."""
    most = highest(pid) + 1 + count
    resource.prlimit(pid, _KIND, (most, most))
