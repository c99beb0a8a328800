"""What one end has said is heard by the other, however it ended."""

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
