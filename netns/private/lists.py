"""The written lists: which folders are private with --strict, and what is opened again; pure.

    /run          private; NixOS's, Guix's and ostree's systems, and the files that name the
                  container are opened
    /run/lock     private
    /run/user/N   and $XDG_RUNTIME_DIR, private
    /tmp          private
    /dev          private; null, zero, full, random, urandom, tty and pts are opened
    /dev/shm      private
    $TMPDIR       a new folder, where it is in one of these

The resolver's files, the working folder, the home folder and the command's own file are opened
where they are in one of these. With --home private the home folder is one of these.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from netns.errors import SandboxError
from netns.plan import Plan
from netns.private.shares import Caller, shared
from netns.private.tree import Empty, Folder, Link, is_below, parts

_STICKY: Final = 0o1777
_OPEN: Final = 0o755
_OWN: Final = 0o700
_HALF: Final = "50%"
"""Of the machine's memory, tmpfs(5): its default, and what systemd gives /tmp."""

_SYSTEM: Final = (
    *("/run/current-system", "/run/booted-system", "/run/wrappers"),
    *("/run/opengl-driver", "/run/opengl-driver-32"),
    *("/run/setuid-programs", "/run/privileged"),
    *("/run/ostree", "/run/ostree-booted", "/run/.containerenv", "/run/.toolboxenv"),
)
LINKS: Final = ("/run/shm", "/dev/shm")  # noqa: S108
"""One of them is a link to the other on some systems, and stays one."""
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty", "pts")
_NEW_LINKS: Final = {
    "/dev/ptmx": "pts/ptmx",
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}
_TEMPORARY: Final = ("TMPDIR", "TMP", "TEMP")


def private(caller: Caller, *, home: bool) -> Iterator[Empty]:
    """Yield the folders that are private, as they are named: there may be links on the way."""
    yield Empty("/run", _OPEN, "20%")
    yield Empty("/var/run", _OPEN, "20%")
    yield Empty("/run/lock", _STICKY, "5m")
    yield Empty("/tmp", _STICKY, _HALF)  # noqa: S108
    yield Empty("/dev", _OPEN, "1m")
    yield Empty("/dev/shm", _STICKY, _HALF)  # noqa: S108
    is_named = "XDG_RUNTIME_DIR" in caller.environment
    if caller.runtime.startswith("/") and not is_below(caller.home or "/", caller.runtime):
        yield Empty(caller.runtime, _OWN, "10%", is_asked_for=is_named)
    if is_named:
        yield Empty(f"/run/user/{caller.uid}", _OWN, "10%", is_asked_for=False)
    if home:
        for folder in filter(parts, (caller.home, caller.registered_home)):
            yield Empty(folder, _OWN, _HALF)


def made(caller: Caller) -> Iterator[Folder | Link]:
    """Yield what is new in private folders."""
    for variable in _TEMPORARY:
        folder = caller.environment.get(variable, "")
        if folder.startswith("/"):
            yield Folder(folder, _OWN)
    for path, target in _NEW_LINKS.items():
        yield Link(path, target)


def opened(plan: Plan, caller: Caller) -> Iterator[str]:
    """Yield what is opened again in private folders, the command's own file apart."""
    yield from (*plan.files, *plan.owned, *plan.owned_folders, *_SYSTEM)
    yield from (f"/dev/{name}" for name in _DEVICES)
    yield from (value for value in plan.environment.values() if value and value.startswith("/"))
    yield caller.folder
    if caller.home and not plan.private_home:
        yield caller.home
    for name in plan.share:
        yield from shared(name, caller)


def read_only(caller: Caller) -> Iterator[str]:
    """Yield what can be read but not written to.

    The agent removes the lock files of editors whose processes it cannot see, and in a PID
    namespace of its own it sees none.
    """
    settings = caller.environment.get("CLAUDE_CONFIG_DIR", "")
    if settings.startswith("/"):
        yield f"{settings}/ide"
    elif caller.home:
        yield f"{caller.home}/.claude/ide"


def check(caller: Caller, empties: Sequence[Empty], *, home: bool) -> None:
    """Raise SandboxError where the working folder, or the home folder, cannot be as it is asked.

    `empties` are without links on their way.
    """
    if home and not parts(caller.home):
        raise SandboxError(
            f"private home: {caller.home or 'an empty HOME'} is no home folder",
            "set HOME, or leave out --home private",
        )
    if any(parts(caller.folder) == parts(empty.path) for empty in empties):
        raise SandboxError(
            f"private files: the working folder, {caller.folder}, is private and so would be empty",
            "work in a folder below it, which stays as it is",
        )
    for empty in empties:
        if empty.exists and is_below("/proc", empty.path):
            raise SandboxError(
                f"private files: {empty.path} cannot be private: /proc is in it",
                "set HOME and XDG_RUNTIME_DIR to folders of their own",
            )
