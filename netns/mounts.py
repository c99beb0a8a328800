"""Files that only the namespace sees: resolv.conf and nsswitch.conf, and no way around them.

Nothing is written to the host: the files live in a tmpfs that only the bind mounts keep alive.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netns import syscalls

RESOLV_CONF: Final = "/etc/resolv.conf"
NSSWITCH_CONF: Final = "/etc/nsswitch.conf"

BYPASS_FOLDERS: Final = ("/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon")
"""Sockets in them resolve names outside the namespace for whoever asks."""

BYPASS_SOCKETS: Final = ("/run/dbus/system_bus_socket",)
"""systemd-resolved answers on the system bus too, whose other services are lost with it."""

_TMPFS: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC

KEPT_SOURCES: Final = frozenset({"files", "dns", "myhostname", "compat", "altfiles"})


def without_bypasses(nsswitch: str) -> str:
    """Leave only the `hosts:` sources that ask our name server or no one, nsswitch.conf(5).

    Actions in brackets go with the source before them.
    """
    return "".join(
        _plain_hosts(line) if line.lstrip().startswith("hosts:") else line
        for line in nsswitch.splitlines(keepends=True)
    )


def _plain_hosts(line: str) -> str:
    kept: list[str] = []
    source_kept = in_action = False
    words = line.partition("#")[0].partition(":")[2].replace("[", " [").replace("]", "] ").split()
    for word in words:
        in_action = in_action or word.startswith("[")
        if not in_action:
            source_kept = word in KEPT_SOURCES
        if source_kept:
            kept.append(word)
        if word.endswith("]"):
            in_action = False
    if "dns" not in kept:
        kept.append("dns")
    return f"hosts: {' '.join(kept)}\n"


@dataclass(frozen=True)
class _File:
    """A file of the tmpfs."""

    content: bytes
    mode: int = 0o644


def take_no_more() -> None:
    """Keep what is mounted here from the host; raises OSError where nothing may be mounted.

    The caller is in a mount namespace of its own.
    """
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)


def cover(
    files: Mapping[str, str], owned: Sequence[str] = (), owned_folders: Sequence[str] = ()
) -> None:
    """Show `files` (path to text) in place of the host's, and hide the sockets that bypass DNS.

    `owned` files, and all those of `owned_folders`, are shown as they are, but as the caller's own:
    read-only copies, so that what would be written to them is an error, as it is to the originals.

    The caller has called take_no_more(). A file that the host does not have cannot be covered and
    is left out: without resolv.conf, programs ask 127.0.0.1, which we answer too.
    """
    covered = {
        str(Path(path).resolve()): _File(text.encode())
        for path, text in files.items()
        if Path(path).exists()
    }
    for folder in BYPASS_FOLDERS:
        if Path(folder).is_dir():
            _mount_tmpfs(folder)
            _recreate(Path(folder), covered)
    for socket_path in BYPASS_SOCKETS:
        if Path(socket_path).exists():
            syscalls.mount("/dev/null", socket_path, flags=syscalls.MS_BIND)
    for folder in owned_folders:
        with contextlib.suppress(OSError):
            _own_folder(Path(folder))
    _bind(covered, read_only=False)
    _bind(_copies(owned), read_only=True)


def _mount_tmpfs(folder: str) -> None:
    syscalls.mount("tmpfs", folder, "tmpfs", _TMPFS, "mode=755")


def _make_read_only(folder: str) -> None:
    """Make a tmpfs of ours read-only, and with it whatever is bound from it."""
    syscalls.mount("none", folder, flags=syscalls.MS_REMOUNT | syscalls.MS_RDONLY | _TMPFS)
    syscalls.check_read_only(folder)


def _own_folder(folder: Path) -> None:
    """Put copies of a folder's files over it; raises OSError, and has then changed nothing."""
    copies = {path: _copy(path) for path in folder.iterdir()}
    _mount_tmpfs(str(folder))
    for path, copy in copies.items():
        _write(path, copy)
    _make_read_only(str(folder))


def _copies(paths: Sequence[str]) -> dict[str, _File]:
    """Read files; those that are gone meanwhile are left out."""
    copies = {}
    for path in paths:
        with contextlib.suppress(OSError):
            copies[str(Path(path).resolve())] = _copy(Path(path))
    return copies


def _copy(path: Path) -> _File:
    """Read a file, with its mode: whoever checks the owner checks that as well."""
    return _File(path.read_bytes(), stat.S_IMODE(path.stat().st_mode))


def _recreate(folder: Path, covered: dict[str, _File]) -> None:
    """Write those of the files that live in a covered folder, as systemd-resolved's do."""
    for path in [path for path in covered if Path(path).parent == folder]:
        _write(Path(path), covered.pop(path))


def _bind(covered: Mapping[str, _File], *, read_only: bool) -> None:
    """Bind the files from a tmpfs that stands over /tmp only while this runs.

    What is to be covered is opened before that, for it may be below /tmp itself.
    """
    if not covered:
        return
    with contextlib.ExitStack() as opened:
        targets = [_open_path(path, opened) for path in covered]
        _mount_tmpfs("/tmp")  # noqa: S108 - any folder that every system has
        try:
            for number, file in enumerate(covered.values()):
                _write(Path("/tmp", str(number)), file)  # noqa: S108
            if read_only:
                _make_read_only("/tmp")  # noqa: S108
            for number, target in enumerate(targets):
                syscalls.mount_below(f"/tmp/{number}", target, flags=syscalls.MS_BIND)  # noqa: S108
        finally:
            syscalls.umount("/tmp", syscalls.MNT_DETACH)  # noqa: S108
        for path, target in zip(covered, targets, strict=True):
            if Path(path).samefile(target):
                raise OSError(errno.EPERM, f"mounting over {path} has changed nothing")


def _open_path(path: str, opened: contextlib.ExitStack) -> str:
    """Return a path to the file itself, whatever is mounted over its folders meanwhile."""
    descriptor = os.open(path, os.O_PATH)
    opened.callback(os.close, descriptor)
    return f"/proc/self/fd/{descriptor}"


def _write(path: Path, file: _File) -> None:
    path.write_bytes(file.content)
    os.chmod(path, file.mode)  # noqa: PTH101 - whatever the caller's umask is
