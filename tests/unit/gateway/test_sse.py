"""Server-sent events: cut in the same places in every chunking, and not a byte lost."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.gateway.sse import MANY, SHORT, ServerSentEvent, Splitter
from tests.support.buffers import BOM, CUTS, ENDS, Counted, count_in, counted, cut, held

LINES = st.sampled_from(
    [
        b"",
        b":",
        b": a comment",
        b"event: ping",
        b"event:ping",
        b"event:  two spaces",
        b"event",
        b"event:",
        b"Event: other",
        b"events: other",
        b"data: 1",
        b"data:2",
        b"data",
        b"data:",
        b"data: a: b",
        "data: \u00e9\u2028\U0001f642".encode(),
        b"data: \x0b\x0c\x1c\x85",
        b"data: \0",
        b"event: \xff",
        BOM,
        BOM + b"event: bom",
        b"id: 1",
        b"retry: 1",
    ]
)
STREAMS = st.builds(
    lambda bom, lines: bom + b"".join(line + end for line, end in lines),
    st.sampled_from([b"", BOM]),
    st.lists(st.tuples(LINES | st.binary(max_size=9), st.sampled_from(ENDS)), max_size=25),
)


def by_the_standard(stream: bytes) -> Iterator[ServerSentEvent]:
    """Read a whole stream as section 9.2.6 says, word for word."""
    begin, kind, data = 0, "", b""
    for line in re.finditer(rb"([^\r\n]*)(\r\n|\n|\r)", stream):
        content = line[1].removeprefix(BOM) if line.start() == 0 else line[1]
        if not content:
            yield ServerSentEvent(stream[begin : line.end()], kind, data.removesuffix(b"\n"))
            begin, kind, data = line.end(), "", b""
        name, colon, value = content.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if content.startswith(b":") and colon:
            continue
        if name == b"event":
            kind = value.decode(errors="replace")
        elif name == b"data":
            data += value + b"\n"


def split(*chunks: bytes) -> tuple[list[ServerSentEvent], bytes]:
    splitter = Splitter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    assert splitter.size == len(splitter.partial)
    return events, splitter.partial


@given(STREAMS)
@example(b"data: 1\r\n\r\ndata: 2\r\r\ndata: 3\n\r\n")
@example(BOM + b"\n\n")
@example(BOM + BOM + b"event: a\n\n")
@example(b"event: a\n" + BOM + b"event: b\n\n")
def test_a_whole_stream_is_read_as_the_standard_says(stream: bytes) -> None:
    events, partial = split(stream)
    assert events == list(by_the_standard(stream))
    assert b"".join(event.raw for event in events) + partial == stream


@given(STREAMS | st.binary(max_size=300), CUTS)
def test_every_chunking_gives_the_same(stream: bytes, cuts: list[int]) -> None:
    events, partial = split(*cut(stream, cuts))
    expected = list(by_the_standard(stream))
    assert [event[1:] for event in events] == [event[1:] for event in expected]
    assert b"".join(event.raw for event in events) + partial == stream
    end = expected_end = 0
    for event, other in zip(events, expected, strict=True):
        end += len(event.raw)
        expected_end += len(other.raw)
        # An event that ends in CR LF is given at the CR if the chunk ends there.
        assert end == expected_end or (
            end == expected_end - 1 and stream[end - 1 : end + 1] == b"\r\n" and end in cuts
        )


@given(STREAMS)
def test_byte_by_byte_an_event_comes_with_its_last_byte(stream: bytes) -> None:
    splitter = Splitter()
    seen = 0
    for at in range(len(stream)):
        events = splitter.feed(stream[at : at + 1])
        seen += len(events)
        # As many as end here, if nothing followed.
        assert seen == len(list(by_the_standard(stream[: at + 1])))
        assert len(events) <= 1


def test_a_cr_is_not_waited_on() -> None:
    splitter = Splitter()
    assert splitter.feed(b"event: a\r\r") == [ServerSentEvent(b"event: a\r\r", "a", b"")]
    assert splitter.feed(b"") == []
    assert splitter.feed(b"\n") == []
    assert splitter.partial == b"\n"
    assert splitter.feed(b"data: 1\n\n") == [ServerSentEvent(b"\ndata: 1\n\n", "", b"1")]
    assert splitter.feed(b"\n") == [ServerSentEvent(b"\n", "", b"")]


def test_an_lf_after_a_cr_in_the_next_chunk_is_no_empty_line() -> None:
    assert split(b"event: a\r", b"\ndata: 1\r", b"\n\r", b"\n") == (
        [ServerSentEvent(b"event: a\r\ndata: 1\r\n\r", "a", b"1")],
        b"\n",
    )
    assert split(b"event: a\r", b"\n\n") == ([ServerSentEvent(b"event: a\r\n\n", "a", b"")], b"")


def test_a_block_of_comments_is_an_event_without_kind_and_data() -> None:
    assert split(b": 1\n: 2\n\n") == ([ServerSentEvent(b": 1\n: 2\n\n", "", b"")], b"")


def test_the_last_event_field_counts_and_its_kind_ends_with_the_event() -> None:
    assert [event.kind for event in split(b"event: a\nevent: b\n\ndata: 1\n\n")[0]] == ["b", ""]


def test_the_kind_is_known_once_its_line_has_ended() -> None:
    splitter = Splitter()
    splitter.feed(b"event: ab")
    assert splitter.kind == ""
    splitter.feed(b"c\ndata:")
    assert splitter.kind == "abc"


def test_an_unfinished_event_can_be_taken_piecemeal() -> None:
    splitter = Splitter()
    splitter.feed(b"event: big\ndata: 0\ndata: 12")
    assert splitter.take_partial() == b"event: big\ndata: 0\ndata: 12"
    assert (splitter.partial, splitter.size, splitter.kind) == (b"", 0, "big")
    splitter.feed(b"34\ndata: 5")
    assert splitter.take_partial() == b"34\ndata: 5"
    events = splitter.feed(b"6\n\nevent: small\ndata: 7\n\n")
    assert events == [
        ServerSentEvent(b"6\n\n", "big", b""),
        ServerSentEvent(b"event: small\ndata: 7\n\n", "small", b"7"),
    ]


@given(STREAMS, CUTS, st.sets(st.integers(0, 30)))
def test_what_is_taken_changes_no_end_and_no_kind(
    stream: bytes, cuts: list[int], takes: set[int]
) -> None:
    splitter = Splitter()
    whole, kinds = b"", []
    for number, chunk in enumerate(cut(stream, cuts)):
        for event in splitter.feed(chunk):
            whole += event.raw
            kinds.append(event.kind)
        if number in takes:
            whole += splitter.take_partial()
    assert kinds == [event.kind for event in by_the_standard(stream)]
    assert whole + splitter.partial == stream


def test_a_line_that_is_taken_is_forgotten_but_for_its_beginning() -> None:
    splitter = Splitter()
    splitter.feed(b"event: " + b"x" * 5000)
    splitter.take_partial()
    assert held(splitter) == 1024
    assert splitter.feed(b"yz\n\n") == [ServerSentEvent(b"yz\n\n", "x" * 1017 + "yz", b"")]


@pytest.mark.parametrize("line", [b"data: ", b": ", b"event: ", b""])
@pytest.mark.parametrize("taking", [False, True])
def test_a_large_event_in_many_chunks_is_looked_at_once(line: bytes, taking: bool) -> None:
    piece, count = b"x" * 1024, 1024
    splitter = Splitter()
    buffers = count_in(splitter)
    whole = bytearray()
    for chunk in [line, *[piece] * count, b"\n\n"]:
        for event in splitter.feed(chunk):
            whole += event.raw
        if taking:
            whole += splitter.take_partial()
    assert whole == line + piece * count + b"\n\n"
    # The raw bytes, filled, read by lines and read whole; the data, filled and read.
    assert Counted.touched <= (6 if taking else 5) * len(whole) + 10_000
    assert counted(splitter) == buffers > 0


def test_many_lines_in_many_chunks_are_looked_at_once() -> None:
    splitter = Splitter()
    buffers = count_in(splitter)
    stream = b"data: 0123456789\n" * 20_000 + b"\n"
    (event,) = [
        event for at in range(0, len(stream), 100) for event in splitter.feed(stream[at : at + 100])
    ]
    assert event.data == b"\n".join([b"0123456789"] * 20_000)
    assert Counted.touched <= 5 * len(stream)
    assert counted(splitter) == buffers > 0


@pytest.mark.parametrize(
    "line", [b":\n", b"id\n", b"data:\n", b"event: a\r", b"x" * (SHORT - 1) + b"\r\n"]
)
def test_many_short_lines_in_one_event_are_counted(line: bytes) -> None:
    splitter = Splitter()
    splitter.feed(line * MANY)
    assert splitter.idle == 0
    splitter.feed(line * 10)
    assert splitter.idle == 10
    splitter.feed(b"data: " + b"x" * SHORT + b"\n")
    assert splitter.idle == 10
    splitter.feed(b"\n")
    splitter.feed(line * MANY)
    assert splitter.idle == 11  # the empty line that ended the event


def test_events_of_a_few_lines_are_not() -> None:
    splitter = Splitter()
    splitter.feed(b"id: 1\nevent: a\ndata: 1\ndata: 2\n\n" * 1000)
    assert splitter.idle == 0
