"""A place of its own for engines of containers, of which the machine sees nothing.

The caller, scripts/containers, has made namespaces for mounts, the network, processes, System V IPC
and the host's name. Here they are filled: a network with loopback alone, /run, /dev/shm and changes
of /etc in memory. Control groups have no such namespace in their old version; those of the place
are below one folder, which scripts/containers removes.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/dev/shm/lab")
"""Images and containers, in memory; it ends with the place."""

PROGRAM: Final = FOLDER / "keepline"

USER: Final = 4712
"""Whose rootless podman is; no user of the machine."""

_UNIFIED: Final = "/sys/fs/cgroup/unified"
_TUN: Final = "/dev/net/tun"


@dataclass(frozen=True)
class Place:
    """What the machine allows."""

    tun: str
    """Why there is no tun device; empty if there is one."""


def fill(program: Path) -> Place:
    """Fill the place; raises OSError, or CalledProcessError, where the machine allows no mounts.

    `program` is a folder with keepline, which the place has at PROGRAM, for everybody to read.
    """
    _run("mount", "--make-rprivate", "/")
    if os.path.ismount(_UNIFIED):
        _run("umount", _UNIFIED)  # crun and runc refuse the mixed layout
    _run("mount", "-t", "tmpfs", "-o", "mode=755,exec", "tmpfs", "/run")
    _run("mount", "-t", "tmpfs", "-o", "mode=1777,exec", "tmpfs", "/dev/shm")
    for path in ("/run/lock", f"/run/user/{USER}", PROGRAM, FOLDER / "etc", FOLDER / "work"):
        Path(path).mkdir(parents=True)
    _run("mount", "--bind", str(program), str(PROGRAM))
    _run("mount", "-t", "overlay", "-o", _layers(), "overlay", "/etc")
    _run("mount", "--make-rshared", "/")
    _run("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _add_user()
    return Place(_tun())


def _layers() -> str:
    return f"lowerdir=/etc,upperdir={FOLDER}/etc,workdir={FOLDER}/work"


def _add_user() -> None:
    home = FOLDER / "home"
    home.mkdir()
    for name, line in (
        ("passwd", f"lab:x:{USER}:{USER}::{home}:/bin/sh"),
        ("group", f"lab:x:{USER}:"),
        ("subuid", "lab:200000:65536"),
        ("subgid", "lab:200000:65536"),
    ):
        with Path("/etc", name).open("a") as file:
            file.write(f"{line}\n")
    for owned in (home, Path(f"/run/user/{USER}")):
        os.chown(owned, USER, USER)
        owned.chmod(0o700)


def _tun() -> str:
    """Let everybody open the tun device, in this place alone; return why that cannot be."""
    own = FOLDER / "tun"
    try:
        os.mknod(own, 0o666 | 0o020000, os.makedev(10, 200))
        own.chmod(0o666)
        os.close(os.open(own, os.O_RDWR))
        _run("mount", "--bind", str(own), _TUN)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no tun device: {error}"
    return ""


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
