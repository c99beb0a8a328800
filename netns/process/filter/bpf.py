"""Assembles classic BPF, the machine language of seccomp filters, with jumps by label; pure.

A program is a list of what is written here; `assemble` makes the array of struct sock_filter that
the kernel takes, linux/filter.h. Jumps go forward only, at most 255 instructions far, as the
kernel demands.
"""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias, assert_never

# Operation codes, linux/bpf_common.h.
LOAD_WORD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_IF_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
RETURN: Final = 0x06  # BPF_RET | BPF_K

INSTRUCTION: Final = struct.Struct("=HBBI")
"""struct sock_filter: the code, how far to jump if true and if false, and the constant."""

_FARTHEST: Final = 255
_MOST: Final = 4096  # BPF_MAXINSNS


class Load(NamedTuple):
    """Load the 32-bit word at this offset of the data into the accumulator."""

    offset: int


class IfEqual(NamedTuple):
    """Jump to a label if the accumulator is this value; else go on."""

    value: int
    label: str


class IfAtLeast(NamedTuple):
    """Jump to a label if the accumulator, unsigned, is this value or more; else go on."""

    value: int
    label: str


class Return(NamedTuple):
    """End with this result."""

    value: int


class Label(NamedTuple):
    """A place to jump to: the instruction that follows."""

    name: str


Line: TypeAlias = Load | IfEqual | IfAtLeast | Return | Label


def assemble(lines: Iterable[Line]) -> bytes:
    """Return the program; raises ValueError if a jump is backward, too far, or leads nowhere."""
    listed = list(lines)
    code = [line for line in listed if not isinstance(line, Label)]
    if not code or len(code) > _MOST:
        raise ValueError(f"a program has 1 to {_MOST} instructions, and not {len(code)}")
    if type(code[-1]) is not Return:
        raise ValueError("a program ends with a return")
    places = _places(listed)
    return b"".join(_encode(line, place, places) for place, line in enumerate(code))


def _places(lines: Iterable[Line]) -> dict[str, int]:
    """Return the number of the instruction that each label stands before."""
    places: dict[str, int] = {}
    count = 0
    for line in lines:
        if not isinstance(line, Label):
            count += 1
        elif line.name in places:
            raise ValueError(f"the label {line.name} stands twice")
        else:
            places[line.name] = count
    return places


def _encode(line: Load | IfEqual | IfAtLeast | Return, place: int, places: dict[str, int]) -> bytes:
    """Return one instruction, which has this number."""
    match line:
        case Load(offset):
            return INSTRUCTION.pack(LOAD_WORD, 0, 0, offset)
        case IfEqual(value, label):
            return INSTRUCTION.pack(JUMP_IF_EQUAL, _distance(label, place, places), 0, value)
        case IfAtLeast(value, label):
            return INSTRUCTION.pack(JUMP_IF_AT_LEAST, _distance(label, place, places), 0, value)
        case Return(value):
            return INSTRUCTION.pack(RETURN, 0, 0, value)
    assert_never(line)


def _distance(label: str, place: int, places: dict[str, int]) -> int:
    """Return how many instructions a jump from `place` skips."""
    if label not in places:
        raise ValueError(f"no label {label}")
    distance = places[label] - place - 1
    if not 0 <= distance <= _FARTHEST:
        raise ValueError(f"a jump to {label} skips {distance} instructions")
    return distance
