"""Programs are assembled as they read: each jump to its label, or an error."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns.process.filter.bpf import IfAtLeast, IfEqual, Label, Line, Load, Return, assemble
from tests.support.inprocess.bpf import run

WORDS = st.integers(0, 2**32 - 1)


def test_a_program_is_an_array_of_instructions() -> None:
    code = assemble([Load(4), IfEqual(7, "seven"), Return(1), Label("seven"), Return(2)])
    assert list(struct.iter_unpack("=HBBI", code)) == [
        (0x20, 0, 0, 4),
        (0x15, 1, 0, 7),
        (0x06, 0, 0, 1),
        (0x06, 0, 0, 2),
    ]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "a program has 1 to 4096 instructions, and not 0"),
        ([Return(0)] * 4097, "a program has 1 to 4096 instructions, and not 4097"),
        ([Load(0)], "a program ends with a return"),
        ([IfEqual(1, "there"), Return(0)], "no label there"),
        ([Label("a"), Label("a"), Return(0)], "the label a stands twice"),
        (
            [Label("back"), Load(0), IfAtLeast(1, "back"), Return(0)],
            "a jump to back skips -2 instructions",
        ),
        (
            [IfEqual(1, "far"), *[Load(0)] * 256, Label("far"), Return(0)],
            "a jump to far skips 256 instructions",
        ),
    ],
)
def test_what_the_kernel_would_refuse_is_an_error(lines: list[Line], why: str) -> None:
    with pytest.raises(ValueError) as caught:
        assemble(lines)
    assert str(caught.value) == why


def test_a_jump_skips_255_instructions_at_most() -> None:
    code = assemble([IfEqual(0, "far"), *[Return(0)] * 255, Label("far"), Return(1)])
    assert run(code, b"") == 1


@given(
    WORDS,
    st.lists(st.tuples(st.sampled_from([IfEqual, IfAtLeast]), WORDS, st.integers(0, 9))),
    st.lists(WORDS, min_size=10, max_size=10),
)
def test_the_first_condition_that_holds_decides(
    word: int, conditions: list[tuple[type[IfEqual | IfAtLeast], int, int]], results: list[int]
) -> None:
    jumps: list[Line] = [kind(value, str(place)) for kind, value, place in conditions[:200]]
    ends: list[Line] = []
    for place, result in enumerate(results):
        ends += [Label(str(place)), Return(result)]
    expected = next(
        (
            results[place]
            for kind, value, place in conditions[:200]
            if (word == value if kind is IfEqual else word >= value)
        ),
        12345,
    )
    code = assemble([Load(0), *jumps, Return(12345), *ends])
    assert run(code, struct.pack("=I", word)) == expected
