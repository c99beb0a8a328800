"""Copies of SYNs: known for two turns after the answer, or, without one, until the end."""

from relay.inbound.held.answered import MOST_LEFT, Answered

ENDS = ("198.18.0.1", 40000), ("203.0.113.5", 443)
OTHER = ("198.18.0.1", 40001), ("203.0.113.5", 443)


def test_what_was_answered_is_known_for_two_turns() -> None:
    answered = Answered()
    answered.note(ENDS, 7)
    for _ in range(2):
        assert answered.is_copy(ENDS, 7)
        assert not answered.is_copy(ENDS, 8), "another connect()"
        assert not answered.is_copy(OTHER, 7)
        assert not answered.is_empty
        answered.turn()
    assert not answered.is_copy(ENDS, 7)
    assert answered.is_empty


def test_what_is_left_is_known_until_its_program_ends() -> None:
    answered = Answered()
    answered.leave(ENDS, 7)
    for _ in range(3):
        answered.turn()
    assert answered.is_copy(ENDS, 7)
    assert answered.left == (ENDS,)
    answered.forget_left(ENDS)
    answered.forget_left(ENDS)
    assert answered.is_empty


def test_what_is_left_is_bounded() -> None:
    answered = Answered()
    for number in range(MOST_LEFT + 1):
        answered.leave((("198.18.0.1", number), ENDS[1]), 7)
    assert len(answered.left) == MOST_LEFT
