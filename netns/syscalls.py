"""System calls that the os module lacks, see section 2 of the manual; failures raise OSError."""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

# Clone flags, clone(2).
CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWIPC: Final = 0x0800_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000

_NAMESPACES: Final = {
    CLONE_NEWNS: "mnt",
    CLONE_NEWUSER: "user",
    CLONE_NEWNET: "net",
    CLONE_NEWIPC: "ipc",
    CLONE_NEWPID: "pid_for_children",
}

# Mount flags, mount(2) and umount2(2).
MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x4_0000
MS_SLAVE: Final = 0x8_0000
_CHANGES: Final = MS_REMOUNT | MS_PRIVATE | MS_SLAVE
MNT_DETACH: Final = 0x2

# Options, prctl(2).
PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NAME: Final = 15
PR_SET_SECCOMP: Final = 22
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
SECCOMP_MODE_FILTER: Final = 2

_SOCKADDR_BYTES: Final = 16
_SIGSET_BYTES: Final = 128
"""The size of glibc's and musl's sigset_t."""

_CAPABILITY_VERSION_3: Final = 0x2008_0522

_NR_MOUNT_SETATTR: Final = 442  # everywhere but on Alpha and MIPS
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_MOUNT_ATTR_RDONLY: Final = 0x1

_libc = ctypes.CDLL(None, use_errno=True)


def _declare(name: str, *arguments: Any, result: Any = ctypes.c_int) -> None:
    """Declare a function; where the C library lacks it, its call raises AttributeError."""
    with contextlib.suppress(AttributeError):  # it is not Linux's
        function = getattr(_libc, name)
        function.argtypes, function.restype = arguments, result


_text, _unsigned = ctypes.c_char_p, ctypes.c_ulong
_declare("mount", _text, _text, _text, _unsigned, _text)
_declare("umount2", _text, ctypes.c_int)
_declare("prctl", ctypes.c_int, *[_unsigned] * 4)
_declare("ioctl", ctypes.c_int, _unsigned, _unsigned)
_declare("syscall", ctypes.c_long, *[_unsigned] * 5, result=ctypes.c_long)
_declare("unshare", ctypes.c_int)
_declare("setns", ctypes.c_int, ctypes.c_int)
_declare("inotify_add_watch", ctypes.c_int, _text, ctypes.c_uint32)


HAS_INOTIFY: Final = hasattr(_libc, "inotify_init1")
"""Whether files can be watched by inotify(7), which is Linux's."""


def _check(result: int, call: str) -> int:
    """Turn -1 into the OSError that the os module would have raised."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def inotify_init(flags: int) -> int:
    """Return the descriptor of a new watch of files, inotify(7)."""
    return _check(_libc.inotify_init1(flags), "inotify_init1")


def inotify_add_watch(fd: int, path: bytes, mask: int) -> int:
    """Watch a path; return the number by which events name it."""
    return _check(_libc.inotify_add_watch(fd, path, mask), "inotify_add_watch")


def signalfd(signals: Iterable[int], flags: int) -> int:
    """Return a descriptor from which these signals are read: signalfd, section 2."""
    mask = (ctypes.c_ubyte * _SIGSET_BYTES)()
    for number in signals:
        mask[(number - 1) // 8] |= 1 << (number - 1) % 8
    return _check(_libc.signalfd(-1, mask, flags), "signalfd")


def sigqueue(pid: int, number: int, value: int) -> None:
    """Send a process a signal with a value: sigqueue, section 3."""
    _check(_libc.sigqueue(pid, number, ctypes.c_void_p(value)), "sigqueue")


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces; raises OSError as well if it is still in one.

    A seccomp filter above can say that a call has worked which was never made.
    """
    kinds = [kind for flag, kind in _NAMESPACES.items() if flags & flag]
    before = [_namespace(kind) for kind in kinds]
    _check(_libc.unshare(flags), "unshare")
    if any(old == _namespace(kind) for old, kind in zip(before, kinds, strict=True)):
        raise _unchanged("unshare")


def _namespace(kind: str) -> int:
    """Return which namespace of a kind the calling thread is in, namespaces(7).

    A PID namespace that has no process yet is not shown: 0.
    """
    try:
        return os.stat(f"/proc/thread-self/ns/{kind}").st_ino  # noqa: PTH116 - pathlib takes longer
    except FileNotFoundError:
        return 0


def setns(fd: int, nstype: int = 0) -> None:
    """Move the calling thread into the namespace that `fd` stands for."""
    _check(_libc.setns(fd, nstype), "setns")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Attach a filesystem, bind a path, or change a mount by `flags`.

    Raises OSError as well if nothing is attached that was to be: a seccomp filter above can say
    that a call has worked which was never made.
    """
    if flags & _CHANGES:
        mount_below(source, target, fstype, flags, data)
        return
    before = _mount_at(target)
    mount_below(source, target, fstype, flags, data)
    if before == _mount_at(target):
        raise _unchanged(f"mount {target}")


def mount_below(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Do the same where it does not show: at the path of a descriptor."""
    source_path, target_path = os.fsencode(source), os.fsencode(target)
    result = _libc.mount(
        source_path, target_path, fstype.encode() or None, flags, data.encode() or None
    )
    _check(result, f"mount {target}")


def _mount_at(path: str) -> bytes:
    """Return what tells the mount that a path leads to from others, proc_pid_fdinfo(5)."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        info = os.open(f"/proc/self/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(info, 4096).partition(b"mnt_id:")[2].partition(b"\n")[0]
        finally:
            os.close(info)
    finally:
        os.close(descriptor)


def _unchanged(call: str) -> OSError:
    return OSError(errno.EPERM, f"{call} has changed nothing")


def make_read_only(target: str) -> None:
    """Let nothing be written to a mount and all that is mounted below it, mount_setattr(2).

    Other flags stay as they are, for a user namespace may not take any of them away. Linux 5.12.
    """
    attributes = struct.pack("=4Q", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    texts = [ctypes.create_string_buffer(each) for each in (os.fsencode(target), attributes)]
    path, given = map(ctypes.addressof, texts)
    try:
        syscall(_NR_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, given, len(attributes))
    except OSError as error:
        raise OSError(error.errno, f"mount_setattr {target}: {error.strerror}") from error
    check_read_only(target)


def check_read_only(target: str) -> None:
    """Raise OSError if a mount can be written to."""
    if not os.statvfs(target).f_flag & os.ST_RDONLY:
        raise _unchanged(f"making {target} read-only")


def umount(target: str, flags: int = 0) -> None:
    """Detach a mount; raises OSError as well if it is still there."""
    before = _mount_at(target)
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")
    if before == _mount_at(target):
        raise _unchanged(f"umount {target}")


def disconnect(fd: int) -> None:
    """Take the peer of a UDP socket away, connect(2) to AF_UNSPEC; socket.connect() cannot."""
    address = ctypes.create_string_buffer(_SOCKADDR_BYTES)  # AF_UNSPEC is 0
    _check(_libc.connect(fd, address, _SOCKADDR_BYTES), "connect")


def prctl(option: int, arg2: int = 0, arg3: int = 0) -> int:
    """Set or read an attribute of the calling process."""
    return _check(_libc.prctl(option, arg2, arg3, 0, 0), "prctl")


def ioctl(fd: int, request: int, argument: int = 0) -> int:
    """Ask a device for something; fcntl.ioctl takes open descriptors alone."""
    return _check(_libc.ioctl(fd, request, argument), "ioctl")


def syscall(number: int, *arguments: int) -> int:
    """Make a system call that the C library has no function for, with five arguments at most."""
    return _check(_libc.syscall(number, *arguments, *[0] * (5 - len(arguments))), "syscall")


def drop_own_capabilities() -> None:
    """Empty the sets of the calling thread, capset(2)."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def clear_inheritable_capabilities() -> None:
    """Empty the inheritable set of the calling thread, capset(2); the others stay as they are."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: the low halves first
    _check(_libc.capget(header, sets), "capget")
    sets[2] = sets[5] = 0
    _check(_libc.capset(header, sets), "capset")


def execve(path: bytes, argv: Sequence[bytes], environment: Sequence[bytes]) -> NoReturn:
    """Become another program, with an environment of any entries; os.execve takes names alone."""
    arrays = [(ctypes.c_char_p * (len(each) + 1))(*each, None) for each in (argv, environment)]
    _check(_libc.execve(path, *arrays), "execve")
    raise AssertionError("execve does not return")
