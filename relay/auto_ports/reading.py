"""Reads once, before the command starts, which ports of the host are open by themselves.

What is read is the caller's environment and the settings of the caller's agents. A file that is not
as such a file is, or that somebody else can write, opens nothing.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from relay.auto_ports import agents, variables
from relay.auto_ports.urls import HOSTS
from relay.policy.host_ports import PortRange

MOST_BYTES: Final = 4 << 20
_AT_ONCE: Final = 1 << 12

_LEADING: Final = tuple(host.encode() for host in HOSTS)


def opened_by_caller(
    environment: Mapping[str, str], home: Path, notes: list[str]
) -> Iterator[PortRange]:
    """Yield what the environment and the files name; `notes` gets why a file opens nothing."""
    yield from variables.opened_by(environment)
    folders = list(_folders(environment))
    for known in agents.FILES:
        path = _path(known, environment, home)
        shown = _shown(path, home)
        try:
            content, why_not = _content(path)
            if not any(host in content for host in _LEADING):
                continue
            if why_not:
                notes.append(f"{shown}: {why_not}")
            else:
                yield from agents.opened_by(content, known, shown, folders)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            notes.append(f"{shown}: {error.strerror}")
        except agents.UnreadableError as error:
            notes.append(f"{shown}: {error}")


def editors_folders(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Return where editors write lock files, or would: the agent looks in both."""
    own = environment.get("CLAUDE_CONFIG_DIR", "")
    named = [Path(own, "ide")] if own.startswith("/") else []
    return list(dict.fromkeys([*named, home / ".claude/ide"]))


def _folders(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the working folder, as the kernel and as the shell names it, and those above both."""
    names = [environment.get("PWD", "")]
    try:
        names.insert(0, os.getcwd())  # noqa: PTH109 - as a string
    except OSError:  # it is gone
        return
    for name in dict.fromkeys(name for name in names if name.startswith("/")):
        if Path(name).samefile(names[0]):
            yield from map(str, (Path(name), *Path(name).parents))


def _path(known: agents.Known, environment: Mapping[str, str], home: Path) -> Path:
    """Return where a file of settings is, or would be."""
    named = environment.get(known.home, "") if known.home else ""
    if named.startswith("/"):
        return Path(named, known.name)
    folder = known.folder
    config = environment.get("XDG_CONFIG_HOME", "")
    if folder.startswith(".config/") and config.startswith("/"):
        return Path(config, folder.removeprefix(".config/"), known.name)
    return Path(home, folder, known.name)


def _shown(path: Path, home: Path) -> str:
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _content(path: Path) -> tuple[bytes, str]:
    """Return what is in a file, and why that is not trusted, if it is not; raises OSError.

    Links are followed, for many keep their settings elsewhere. A FIFO is not waited for.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(path, flags)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is not a regular file", str(path))
        at_once = max(min(status.st_size, MOST_BYTES) + 1, _AT_ONCE)
        content = b""
        while len(content) <= MOST_BYTES and (more := os.read(fd, at_once)):
            content += more
    finally:
        os.close(fd)
    if len(content) > MOST_BYTES:
        raise OSError(0, f"it has more than {MOST_BYTES} bytes", str(path))
    return content, _why_not(status)


def trusted_owners() -> set[int]:
    """Return the caller, and root, whose id is another one in a namespace that does not map it."""
    return {os.geteuid(), Path("/").stat().st_uid}


def _why_not(status: os.stat_result) -> str:
    """Return why a file is not trusted; empty if it is."""
    if status.st_uid not in trusted_owners():
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & stat.S_IWOTH:
        return "everybody can write it; chmod o-w changes that"
    return ""
