"""Runs classic BPF as seccomp does: the word at an offset, two jumps and a return, bpf(4)."""

import struct
from typing import Final

_INSTRUCTION: Final = struct.Struct("=HBBI")
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06


def run(program: bytes, data: bytes) -> int:
    """Return a program's result for this data; raises ValueError on what the kernel refuses."""
    code = list(_INSTRUCTION.iter_unpack(program))
    accumulator = 0
    place = 0
    while place < len(code):
        operation, if_true, if_false, constant = code[place]
        place += 1
        if operation == _LOAD:
            if constant % 4 or constant + 4 > len(data):
                raise ValueError(f"no word at {constant}")
            (accumulator,) = struct.unpack_from("=I", data, constant)
        elif operation == _EQUAL:
            place += if_true if accumulator == constant else if_false
        elif operation == _AT_LEAST:
            place += if_true if accumulator >= constant else if_false
        elif operation == _RETURN:
            return int(constant)
        else:
            raise ValueError(f"no operation {operation:#x}")
    raise ValueError("the program ends without a return")


def call(architecture: int, number: int, *arguments: int) -> bytes:
    """Return a system call as a filter is shown it, struct seccomp_data of seccomp(2)."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    return struct.pack("=IIQ6Q", number & 0xFFFF_FFFF, architecture, 0, *padded)
