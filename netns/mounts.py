"""Files that only the namespace sees: resolv.conf and nsswitch.conf, and no way around them.

Nothing is written to the host: the files live in a tmpfs that only the bind mounts keep alive.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from netns import syscalls

RESOLV_CONF: Final = "/etc/resolv.conf"
NSSWITCH_CONF: Final = "/etc/nsswitch.conf"

BYPASS_FOLDERS: Final = ("/run/nscd", "/run/systemd/resolve", "/run/avahi-daemon")
"""Sockets in them resolve names outside the namespace for whoever asks."""

BYPASS_SOCKETS: Final = ("/run/dbus/system_bus_socket",)
"""systemd-resolved answers on the system bus too, whose other services are lost with it."""

_KEPT_SOURCES: Final = frozenset({"files", "dns", "myhostname", "compat", "altfiles"})


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
            source_kept = word in _KEPT_SOURCES
        if source_kept:
            kept.append(word)
        if word.endswith("]"):
            in_action = False
    if "dns" not in kept:
        kept.append("dns")
    return f"hosts: {' '.join(kept)}\n"


def cover(files: Mapping[str, str]) -> None:
    """Show `files` (path to text) in place of the host's, and hide the sockets that bypass DNS.

    The caller is in a mount namespace of its own. A file that the host does not have cannot be
    covered and is left out: without resolv.conf, programs ask 127.0.0.1, which we answer too.
    """
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    covered = {
        str(Path(path).resolve()): text for path, text in files.items() if Path(path).exists()
    }
    for folder in BYPASS_FOLDERS:
        if Path(folder).is_dir():
            _mount_tmpfs(folder)
            _recreate(Path(folder), covered)
    for socket_path in BYPASS_SOCKETS:
        if Path(socket_path).exists():
            syscalls.mount("/dev/null", socket_path, flags=syscalls.MS_BIND)
    _bind(covered)


def _mount_tmpfs(folder: str) -> None:
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("tmpfs", folder, "tmpfs", flags, "mode=755")


def _recreate(folder: Path, covered: dict[str, str]) -> None:
    """Write those of the files that live in a covered folder, as systemd-resolved's do."""
    for path in [path for path in covered if Path(path).parent == folder]:
        _write(Path(path), covered.pop(path))


def _bind(covered: dict[str, str]) -> None:
    """Bind the files from a tmpfs that stands over /tmp only while this runs."""
    if not covered:
        return
    _mount_tmpfs("/tmp")  # noqa: S108 - any folder that every system has
    try:
        for number, (path, text) in enumerate(covered.items()):
            source = Path("/tmp", str(number))  # noqa: S108
            _write(source, text)
            syscalls.mount(str(source), path, flags=syscalls.MS_BIND)
    finally:
        syscalls.umount("/tmp", syscalls.MNT_DETACH)  # noqa: S108


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    os.chmod(path, 0o644)  # noqa: PTH101 - whatever the caller's umask is
