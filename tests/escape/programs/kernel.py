"""System calls that the standard library has no name for."""

import ctypes
import os
import platform
from pathlib import Path
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
MNT_DETACH: Final = 2
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000

# asm/unistd_64.h, and asm-generic/unistd.h for aarch64; those above 423 are the same everywhere.
_NUMBERS: Final = {
    "x86_64": {
        "add_key": 248,
        "bpf": 321,
        "init_module": 175,
        "ioctl": 16,
        "keyctl": 250,
        "kexec_load": 246,
        "mount": 165,
        "open_by_handle_at": 304,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "ptrace": 101,
        "setns": 308,
        "socket": 41,
        "umount2": 166,
        "unshare": 272,
    },
    "aarch64": {
        "add_key": 217,
        "bpf": 280,
        "init_module": 105,
        "ioctl": 29,
        "keyctl": 219,
        "kexec_load": 104,
        "mount": 40,
        "open_by_handle_at": 265,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "ptrace": 117,
        "setns": 268,
        "socket": 198,
        "umount2": 39,
        "unshare": 97,
    },
}
_NEW: Final = {
    "io_uring_enter": 426,
    "io_uring_setup": 425,
    "pidfd_getfd": 438,
    "pidfd_send_signal": 424,
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(name: str, *arguments: int | bytes | None) -> int:
    """Make a system call; raises OSError."""
    number = _NEW.get(name) or _NUMBERS[platform.machine()][name]
    words = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    result: int = _libc.syscall(ctypes.c_long(number), *words)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def setns(path: str, kind: int = 0) -> None:
    """Enter the namespace that a file of /proc stands for."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        syscall("setns", descriptor, kind)
    finally:
        os.close(descriptor)


def nested(kinds: int) -> None:
    """Become root of a user namespace of one's own, with more namespaces."""
    uid, gid = os.getuid(), os.getgid()
    syscall("unshare", CLONE_NEWUSER | kinds)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {uid} 1\n"),
        ("gid_map", f"0 {gid} 1\n"),
    ):
        Path(f"/proc/self/{name}").write_text(text)
