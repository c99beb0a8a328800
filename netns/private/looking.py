"""Finds the files of the host that the written lists name, before anything is mounted."""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from netns.plan import Plan
from netns.private import lists
from netns.private.shares import Caller, shared
from netns.private.tree import Empty, Folder, Opened, Step, followed
from netns.process import folder
from netns.process.command import candidates

_USERS: Final = Path("/etc/passwd")


@dataclass(frozen=True)
class Found:
    """The host's files, as they are to be shown."""

    caller: Caller
    steps: list[Step]
    """In no order."""
    shared: frozenset[str]
    """Where the sockets that stay within reach are, or the folders of such."""


def look(plan: Plan, descriptors: contextlib.ExitStack) -> Found:
    """Look everything up, and hold it open; raises SandboxError where it cannot be as asked."""
    caller = _caller(plan)
    empties = [_settled(empty) for empty in lists.private(caller, home=plan.private_home)]
    lists.check(caller, empties, home=plan.private_home)
    steps: list[Step] = list(empties)
    for made in lists.made(caller):
        path = made.path
        steps.append(
            replace(made, path=_resolved_folder(path) if isinstance(made, Folder) else path)
        )
    for path in lists.LINKS:
        steps.extend(followed(path, _read_link)[0])
    for path in (*lists.opened(plan, caller), *_programs(plan, caller)):
        steps.extend(_opened(path, descriptors))
    for path in lists.read_only(caller):
        steps.extend(
            replace(step, read_only=True) if isinstance(step, Opened) else step
            for step in _opened(path, descriptors)
        )
    again = (path for name in plan.share for path in shared(name, caller))
    return Found(caller, steps, frozenset(map(os.path.realpath, again)))


def _caller(plan: Plan) -> Caller:
    environment = {
        name: value
        for name, value in {**os.environ, **plan.environment}.items()
        if value is not None
    }
    uid = os.getuid()
    registered = _resolved_folder(_registered_home(uid))
    home = environment.get("HOME", "")
    home = _resolved_folder(home) if home.startswith("/") else registered
    return Caller(uid, home, folder.current(), environment, registered)


def _registered_home(uid: int) -> str:
    """Return the home folder of a user, empty for none.

    Not by getpwuid(3): in a namespace without a network nobody but the file can be asked.
    """
    with contextlib.suppress(OSError):
        for line in os.fsdecode(_USERS.read_bytes()).splitlines():
            fields = line.split(":")
            if len(fields) > 5 and fields[2] == str(uid) and fields[5].startswith("/"):
                return fields[5]
    return ""


def _resolved_folder(path: str) -> str:
    return os.path.realpath(path) if path else ""


def _settled(empty: Empty) -> Empty:
    path = os.path.realpath(empty.path)
    return replace(empty, path=path, exists=os.path.isdir(path))  # noqa: PTH112 - as the rest


def _opened(path: str, descriptors: contextlib.ExitStack) -> Iterator[Step]:
    """Yield the links on a path and the file it leads to; nothing if there is none."""
    links, place = followed(path, _read_link)
    with contextlib.suppress(OSError):
        descriptor = os.open(place, os.O_PATH | os.O_NOFOLLOW)
        descriptors.callback(os.close, descriptor)
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISLNK(mode):
            yield from links
            yield Opened(place, descriptor, is_folder=stat.S_ISDIR(mode))


def _read_link(path: str) -> str | None:
    try:
        return os.readlink(path)  # noqa: PTH115 - a Path would lose what is not UTF-8
    except OSError:
        return None


def _programs(plan: Plan, caller: Caller) -> Iterable[str]:
    """Return the file that the command is, as exec finds it; none if there is no such program."""
    if not plan.command:
        return ()
    for path in candidates(plan.command[0], _entries(caller)):
        if os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113 - as the rest
            return (os.path.join(caller.folder, path),)  # noqa: PTH118 - as the rest
    return ()


def _entries(caller: Caller) -> list[bytes]:
    return [os.fsencode(f"{name}={value}") for name, value in caller.environment.items()]
