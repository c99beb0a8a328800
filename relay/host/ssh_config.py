"""Which of root's files OpenSSH refuses once they seem to be nobody's: those whose owner it checks.

ssh(1) reads `~/.ssh/config` and whatever an Include names only if the file is root's or the
caller's own (SSHCONF_CHECKPERM in its readconf.c). Where an ordinary caller's id alone is mapped,
root's files have the overflow id for their owner, user_namespaces(7), so that `ssh` ends with "Bad
owner or permissions" before it has done anything, and git with it.
"""

import contextlib
import os
import pwd
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Final

SYSTEM: Final = Path("/etc/ssh/ssh_config")

_DEEPEST: Final = 16
"""READCONF_MAX_DEPTH: deeper Includes end ssh itself."""

_INCLUDE: Final = r"(?im)^[ \t]*include(?:[ \t]*=[ \t]*|[ \t]+)(.*)$"
_WORD: Final = r'"([^"]*)"|(#.*)|(\S+)'


def includes(text: str) -> Iterator[str]:
    """Yield the patterns that a file includes, ssh_config(5), whatever Host and Match say.

    Those of other Hosts are opened and checked too. Patterns with a token (`%h`) or a variable
    (`${NAME}`) are left out: what they mean is known to ssh alone.
    """
    for line in re.findall(_INCLUDE, text):
        for quoted, comment, plain in re.findall(_WORD, line):
            if comment:
                break
            pattern = quoted or plain
            if pattern and "%" not in pattern and "${" not in pattern:
                yield pattern


@dataclass
class RootsFiles:
    """What is to be shown as the caller's own."""

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    """All of whose files are: shown as a whole, they stay when a package replaces one of them."""


def checked_for_caller() -> RootsFiles:
    """Find the files of root that are to be shown as the caller's own; root needs none."""
    uid = os.getuid()
    with contextlib.suppress(OSError, KeyError):  # nobody in passwd(5): ssh itself gives up then
        if uid != 0:
            return checked_by_ssh(Path(pwd.getpwuid(uid).pw_dir))
    return RootsFiles()


def checked_by_ssh(home: Path, system: Path = SYSTEM, root: int = 0) -> RootsFiles:
    """Find the files of user `root` that ssh checks, for a caller whose home is `home`.

    Where there is no system-wide configuration, two calls of stat(2) are all that this costs.
    """
    walk = _Walk(home, root)
    own = home / ".ssh"
    with contextlib.suppress(OSError):
        walk.follow(system, system.parent, 0)
    with contextlib.suppress(OSError):
        walk.check(own / "config", own, 0)
    return walk.found()


class _Walk:
    """Follows Includes; a file that cannot be read has none."""

    def __init__(self, home: Path, root: int) -> None:
        self._home = home
        self._root = root
        self._roots: dict[Path, None] = {}
        self._seen: set[Path] = set()

    def check(self, path: Path, base: Path, depth: int) -> None:
        """Note a file if it is root's, and follow what it includes; raises OSError."""
        status = path.stat()
        if path in self._seen or not stat.S_ISREG(status.st_mode):
            return
        self._seen.add(path)
        if status.st_uid == self._root and os.access(path, os.R_OK):
            self._roots[path] = None
        self.follow(path, base, depth)

    def follow(self, path: Path, base: Path, depth: int) -> None:
        """Check what a file includes, relative to `base`, the folder of ssh; raises OSError."""
        if depth == _DEEPEST:
            return
        for pattern in includes(path.read_text(errors="surrogateescape")):
            whole = base / self._with_home(pattern)
            for name in glob(str(whole)):  # noqa: PTH207 - Path.glob takes no absolute pattern
                with contextlib.suppress(OSError):  # gone meanwhile, or a link to nowhere
                    self.check(Path(name), base, depth + 1)

    def _with_home(self, pattern: str) -> str:
        """Write the caller's home for a tilde; other users' files are theirs, not root's."""
        return str(self._home / pattern[2:]) if pattern.startswith("~/") else pattern

    def found(self) -> RootsFiles:
        """Return all, those by their folder that are all of its entries."""
        found = RootsFiles()
        for folder in dict.fromkeys(path.parent for path in self._roots):
            files = [path for path in self._roots if path.parent == folder]
            is_roots = folder.stat().st_uid == self._root
            if is_roots and sorted(folder.iterdir()) == sorted(files):
                found.folders.append(str(folder))
            else:
                found.files += map(str, files)
        return found
