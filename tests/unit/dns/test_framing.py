"""Messages on a stream, in whatever pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dns.framing import FrameError, Unframer, frame

MESSAGES = st.lists(st.binary(min_size=12, max_size=40), max_size=5)


@given(MESSAGES, st.integers(min_value=1, max_value=50))
def test_messages_survive_any_cut(messages: list[bytes], size: int) -> None:
    stream = b"".join(map(frame, messages))
    unframer = Unframer()
    pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert [message for piece in pieces for message in unframer.feed(piece)] == messages


def test_the_longest_message() -> None:
    message = bytes(65535)
    assert Unframer().feed(frame(message)) == [message]


def test_a_frame_too_short_for_a_header() -> None:
    with pytest.raises(FrameError, match="11 bytes"):
        Unframer().feed(frame(bytes(12)) + frame(bytes(11)))
