"""What one end has said is heard by the other, however it ended."""

import socket
from collections.abc import Callable

import pytest

from netns import handoff
from netns.handoff import Step


def test_a_failure_is_heard_although_its_sender_had_not_read_all() -> None:
    ours, theirs = handoff.channel()
    failure = Step("", "capabilities are not dropped", "see why")
    with ours:
        handoff.release(ours)
        handoff.send_step(theirs, failure)
        theirs.close()
        assert handoff.receive(ours) == failure
        with pytest.raises(EOFError):
            handoff.receive(ours)


def test_an_end_without_a_word_is_an_end() -> None:
    ours, theirs = handoff.channel()
    with ours:
        handoff.release(ours)
        theirs.close()
        with pytest.raises(EOFError):
            handoff.receive(ours)


@pytest.mark.parametrize("first", [handoff.release, handoff.adopt])
def test_the_release_and_the_adoption_come_in_any_order(
    first: Callable[[socket.socket], None],
) -> None:
    ours, theirs = handoff.channel()
    with ours, theirs:
        first(ours)
        (handoff.adopt if first is handoff.release else handoff.release)(ours)
        handoff.await_start(theirs, is_released=True, is_adopted=True)
        with pytest.raises(BlockingIOError):
            theirs.recv(1, socket.MSG_DONTWAIT)


def test_without_a_release_nothing_starts() -> None:
    ours, theirs = handoff.channel()
    with theirs:
        handoff.adopt(ours)
        ours.close()
        with pytest.raises(EOFError):
            handoff.await_start(theirs, is_released=True, is_adopted=True)
        handoff.await_start(theirs, is_released=False, is_adopted=True)
        handoff.await_start(theirs, is_released=False, is_adopted=False)
