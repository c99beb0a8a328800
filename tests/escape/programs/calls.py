"""Ways by system calls: families without namespaces, io_uring, other doors of the processor."""

import ctypes
import fcntl
import mmap
import os
import struct
import subprocess
from typing import Any, Final

from .kernel import syscall
from .met import attempt

_STREAM: Final = 1
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C
_PASTE: Final = b"\x03"
_held: Final[list[int]] = []
_processes: Final[list[subprocess.Popen[bytes]]] = []


def families(facts: Any) -> None:
    """Make sockets of each family that the host looks for, of any kind."""
    for family in facts.families:
        for kind in (1, 2, 3, 5):
            for protocol in (0, 1, 2):
                with attempt():
                    _held.append(syscall("socket", family, kind, protocol))


def high_words(facts: Any) -> None:
    """Do the same with more in the upper half of the argument, which the kernel ignores."""
    for family in facts.families:
        for kind in (1, 2, 3, 5):
            with attempt():
                _held.append(syscall("socket", family | (1 << 32), kind, 0))


def uring(facts: Any) -> None:
    """Have io_uring make the socket, IORING_OP_SOCKET."""
    parameters = ctypes.create_string_buffer(120)
    ring = syscall("io_uring_setup", 4, ctypes.addressof(parameters))
    _held.append(ring)
    entries, more = struct.unpack_from("=II", parameters.raw)
    offsets = struct.unpack_from("=10I", parameters.raw, 40)
    _head, tail, _mask, _entries, _flags, _dropped, array = offsets[:7]
    size = array + entries * 4 + more * 64
    rings = mmap.mmap(ring, size, offset=0)
    queue = mmap.mmap(ring, entries * 64, offset=0x10000000)
    # struct io_uring_sqe: its fd is the family, its offset the kind, io_uring_prep_socket(3).
    queue[:64] = struct.pack("=BBHiQ", 45, 0, 0, facts.families[0], _STREAM).ljust(64, b"\0")
    rings[array : array + 4] = struct.pack("=I", 0)
    rings[tail : tail + 4] = struct.pack("=I", 1)
    syscall("io_uring_enter", ring, 1, 1, 1, 0, 0)


def other_door(facts: Any) -> None:
    """Have the program of C make the calls that the row names."""
    for words in facts.doors:
        argv = [facts.calls, *words]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        _processes.append(process)
        assert process.stdout is not None
        number = int(process.stdout.readline() or b"31")
        with attempt():
            if number:
                raise OSError(number, os.strerror(number))


def type_by_other_door(facts: Any) -> None:
    """Type into one's own terminal by the program of C."""
    argv = [facts.calls, "i386 TIOCSTI", f"{facts.token}\n"]
    number = int(subprocess.run(argv, stdout=subprocess.PIPE, check=False).stdout or b"31")
    if number:
        raise OSError(number, os.strerror(number))


def type_into(facts: Any) -> None:
    """Type into one's own terminal, TIOCSTI, as the caller would."""
    for request in (_TIOCSTI, _TIOCSTI | (1 << 32)):
        with attempt():
            for letter in f"{facts.token}\n":
                buffer = ctypes.create_string_buffer(letter.encode())
                syscall("ioctl", 0, request, ctypes.addressof(buffer))


def paste_into(facts: Any) -> None:
    """Paste into a console, TIOCLINUX: what is no console answers ENOTTY, if it is asked."""
    for path in (None, "/dev/tty1", "/dev/tty0", "/dev/console"):
        with attempt():
            fd = 0 if path is None else os.open(path, os.O_RDWR | os.O_NOCTTY)
            fcntl.ioctl(fd, _TIOCLINUX, _PASTE)


def other_terminal(facts: Any) -> str:
    """Write to another terminal of the user's, and read what is typed there."""
    fd = os.open(facts.terminal, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    os.write(fd, facts.token.encode())
    return os.read(fd, 100).decode().strip()
