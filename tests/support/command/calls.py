"""Makes system calls by their numbers, in each way that the processor has, and tells what came.

`calls("x86_64 41 40 1 0", ...)` gives the command line that makes these and writes a line for each:
`ok`, or the name of the error. `i386` is `int 0x80`, by which a 64-bit program makes the calls of a
32-bit one; all else is the machine's own. Arguments that begin with "@" are put into memory, words
of 32 bits or text, and their address is passed. `unshare` goes on in namespaces of its own.
"""

import ctypes
import errno
import mmap
import os
import struct
import sys
from typing import Final

from netns import syscalls

_MODULE: Final = "tests.support.command.calls"
_MAP_32BIT: Final = 0x40  # below 4 GiB, where a 32-bit call finds it; mmap(2)
_PAGE: Final = 4096

_INT_80: Final = bytes.fromhex(
    "53"  # push rbx
    "89f8"  # mov eax, edi: the number
    "89f3"  # mov ebx, esi: the first argument
    "87ca"  # xchg edx, ecx: the second is in rdx, the third in rcx, and they change places
    "4489c6"  # mov esi, r8d: the fourth
    "cd80"  # int 0x80
    "5b"  # pop rbx
    "c3"  # ret
)


def calls(*wanted: str) -> list[str]:
    """Return the command line that makes these calls, each `WAY NUMBER ARGUMENT...`."""
    return [sys.executable, "-I", "-m", _MODULE, *wanted]


class _Memory:
    """A page that both kinds of call can reach, for code and for what pointers lead to."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        access = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_32BIT
        self._end = int(libc.mmap(None, _PAGE, access, kind, -1, 0))

    def put(self, data: bytes) -> int:
        """Store data; return its address."""
        place, padded = self._end, data + bytes(-len(data) % 16)
        ctypes.memmove(place, padded, len(padded))
        self._end += len(padded)
        return place


def _argument(text: str, memory: _Memory) -> int:
    if not text.startswith("@"):
        return int(text, 0)
    try:
        words = [int(word, 0) for word in text[1:].split(",")]
    except ValueError:
        return memory.put(text[1:].encode() + b"\0")
    return memory.put(struct.pack(f"={len(words)}I", *words))


def _make(way: str, number: int, arguments: list[int], memory: _Memory) -> int:
    """Make a call; return 0 or its errno."""
    if way == "i386":
        function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 5)(memory.put(_INT_80))
        result = int(function(number, *arguments, *[0] * (4 - len(arguments))))
        return max(0, -result)
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(each) for each in [*arguments, *[0] * (6 - len(arguments))]]
    return ctypes.get_errno() if libc.syscall(ctypes.c_long(number), *padded) == -1 else 0


def main() -> None:
    """Make the calls of the command line."""
    memory = _Memory()
    for wanted in sys.argv[1:]:
        if wanted == "unshare":
            syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
            continue
        way, number, *texts = wanted.split()
        arguments = [_argument(text, memory) for text in texts]
        error = _make(way, int(number, 0), arguments, memory)
        os.write(1, f"{errno.errorcode[error] if error else 'ok'}\n".encode())


if __name__ == "__main__":
    main()
