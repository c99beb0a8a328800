"""Messages on a stream, in whatever pieces."""

import struct

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dns.framing import FrameError, Unframer, frame, is_error, servfail, truncated

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


QUESTION = b"\x03www\x07example\x00\x00\x01\x00\x01"


def query(rest: bytes = QUESTION, *, flags: int = 0x0110, questions: int = 1) -> bytes:
    return struct.pack("!6H", 0xBEEF, flags, questions, 0, 0, 0) + rest


def test_servfail_has_the_question() -> None:
    answer = servfail(query() + b"OPT and the like")
    assert answer == struct.pack("!6H", 0xBEEF, 0x8192, 1, 0, 0, 0) + QUESTION
    message = dns.message.from_wire(answer)
    assert message.rcode() is dns.rcode.SERVFAIL
    assert dns.message.from_wire(query()).is_response(message)


@pytest.mark.parametrize(
    "rest", [b"", b"\x03ww", QUESTION[:-1], b"\xc0\x0c\x00\x01\x00\x01", b"\x40" + bytes(80)]
)
def test_servfail_has_no_part_of_a_question(rest: bytes) -> None:
    assert servfail(query(rest)) == struct.pack("!6H", 0xBEEF, 0x8192, 0, 0, 0, 0)


def test_servfail_of_none_has_none() -> None:
    assert servfail(query(questions=0)) == struct.pack("!6H", 0xBEEF, 0x8192, 0, 0, 0, 0)


@pytest.mark.parametrize("wire", [b"", bytes(11), query(flags=0x8180)])
def test_what_is_no_query_gets_no_answer(wire: bytes) -> None:
    assert servfail(wire) is None


@given(st.binary(max_size=80))
def test_servfail_of_anything(wire: bytes) -> None:
    servfail(wire)


def test_what_is_truncated_is_asked_again_over_tcp() -> None:
    query = dns.message.make_query("www.example", "A")
    answer = dns.message.from_wire(truncated(query.to_wire()))
    assert query.is_response(answer)
    assert answer.flags & dns.flags.TC
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert truncated(b"") == b""


@pytest.mark.parametrize("rcode", range(6))
def test_what_is_an_error(rcode: int) -> None:
    answer = dns.message.make_response(dns.message.make_query("www.example", "A"))
    answer.set_rcode(dns.rcode.Rcode(rcode))
    assert is_error(answer.to_wire()) is (rcode not in {0, 3})
