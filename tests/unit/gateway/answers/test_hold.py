"""The holding rule: what is handed over when, wherever an answer is cut and however it ends."""

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any, Final, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.config import Hold
from relay.gateway.answers.hold import EVENT, LIMIT, Answer, Step
from relay.gateway.answers.pieces import PIECE
from relay.gateway.bounds.room import ALL, Room
from relay.gateway.dialects.anthropic import DIALECT as ANTHROPIC
from relay.gateway.sse import Splitter
from relay.record.kinds import Kind
from tests.support.buffers import (
    BOM,
    CUTS,
    ENDS,
    Counted,
    bytes_of,
    count_in,
    counted,
    cut,
    giving,
    whole,
)

HOLDS: Final[tuple[Hold, ...]] = get_args(Hold)
START, DELTA, STOP = "content_block_start", "content_block_delta", "content_block_stop"
NO_END: Final = Step(loss="ended without message_stop", kind=Kind.ENDED_EARLY)

PING: Final = ANTHROPIC.filler
CLOSING: Final = ANTHROPIC.reader().closing

Typed = tuple[str, bytes]
"""An event's type and its raw bytes."""


def event(kind: str, *, error: str | None = None, end: bytes = b"\n", **more: Any) -> bytes:
    if error is not None:
        more["error"] = {"type": error, "message": "a secret"}
    data = json.dumps({"type": kind, **more}, ensure_ascii=False).encode()
    return b"event: %b%b" % (kind.encode(), end) + b"data: %b%b%b" % (data, end, end)


def block(*deltas: str, index: int = 0) -> list[Typed]:
    return [
        (START, event(START, index=index, content_block={"type": "text", "text": ""})),
        *((DELTA, event(DELTA, index=index, delta={"text": text})) for text in deltas),
        (STOP, event(STOP, index=index)),
    ]


def answer(*blocks: list[Typed]) -> list[Typed]:
    return [
        ("message_start", event("message_start", message={"id": "msg_1"})),
        *(typed for block in blocks for typed in block),
        ("message_delta", event("message_delta", delta={"stop_reason": "end_turn"})),
        ("message_stop", event("message_stop")),
    ]


TWO: Final = answer(block("Hel", "lo"), block("{", "}", index=1))
"""Two blocks of two deltas: TWO[:2] is before the content, TWO[4] the first block's end."""


def raw(typed: list[Typed]) -> bytes:
    return b"".join(bytes_ for _, bytes_ in typed)


def answering(hold: Hold, limit: int = LIMIT) -> Answer:
    """Make an answer of which nothing has come."""
    return Answer(hold, ANTHROPIC.reader(), limit)


def fed(hold: Hold, *data: bytes, limit: int = LIMIT) -> Answer:
    made = answering(hold, limit)
    for piece in data:
        assert made.receive(piece).loss is None
    return made


def said(made: Answer) -> set[str]:
    """Return what an answer says of itself."""
    names = ("committed", "is_complete", "has_all", "wants_filler", "may_insert")
    return {name for name in names if getattr(made, name)}


@st.composite
def spellings(draw: st.DrawFn, kind: str, body: dict[str, Any], end: bytes) -> bytes:
    """Draw one of the ways in which an event can be written."""
    indent = draw(st.sampled_from([None, 1]))
    data = json.dumps({"type": kind, **body}, ensure_ascii=draw(st.booleans()), indent=indent)
    lines = [b"data: " + line.encode() for line in data.split("\n")]
    if draw(st.booleans()):
        lines = [line.replace(b": ", b":", 1) for line in lines]
    if draw(st.booleans()):
        lines.insert(draw(st.sampled_from([0, len(lines)])), b"event: " + kind.encode())
    if draw(st.booleans()):
        lines.insert(0, draw(st.sampled_from([b": a comment", b"id: 7", b"retry: 9", b":"])))
    return end.join([*lines, b"", b""])


@st.composite
def answers(draw: st.DrawFn, ends: tuple[bytes, ...] = ENDS) -> list[Typed]:
    """Draw a whole and right answer."""
    end = draw(st.sampled_from(ends))
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    noise = st.sampled_from(["ping", "content_block_pause", "comment", "empty"])
    typed: list[Typed] = []

    def add(kind: str, **body: Any) -> None:
        typed.append((kind, draw(spellings(kind, body, end))))

    def add_noise(kinds: st.SearchStrategy[str] = noise) -> None:
        for kind in draw(st.lists(kinds, max_size=2)):
            if kind == "comment":
                typed.append((kind, b": comment" + end * 2))
            elif kind == "empty":
                typed.append((kind, end))
            else:
                add(kind)

    add_noise(st.sampled_from(["ping", "comment", "empty"]))
    add("message_start", message={"usage": {"input_tokens": 3}})
    add_noise()
    for index in range(draw(st.integers(0, 3))):
        form, count = draw(
            st.sampled_from(
                [("thinking", 2), ("text", 2), ("tool_use", 3), ("redacted_thinking", 0)]
            )
        )
        add(START, index=index, content_block={"type": form, "name": draw(texts)})
        for _ in range(draw(st.integers(0, count))):
            add_noise()
            add(DELTA, index=index, delta={form: draw(texts)})
        add_noise()
        add(STOP, index=index)
        add_noise()
    add("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5})
    add_noise()
    add("message_stop")
    add_noise()
    return typed


def handed_over(types: list[str], hold: Hold) -> int:
    """Return how many of a right answer's events are handed over, rules 1 and 2."""
    if "message_stop" in types:
        return len(types)
    content = [at for at, kind in enumerate(types) if kind in {DELTA, STOP}]
    if not content or hold == "message":
        return 0
    if hold == "none":
        return len(types)
    stops = [at for at, kind in enumerate(types) if kind == STOP]
    if types[content[0]] == STOP:
        return 0
    return stops[0] if stops else len(types)


def came(typed: list[Typed], count: int) -> list[str]:
    """Return which events are whole after `count` bytes; CR LF CR ends one, LF need not come."""
    whole, at = [], 0
    for kind, data in typed:
        at += len(data)
        if at - data.endswith(b"\r\n") <= count:
            whole.append(kind)
    return whole


@settings(deadline=None)
@given(answers(), CUTS, st.sampled_from(HOLDS))
def test_a_right_answer_is_handed_over_byte_for_byte(
    typed: list[Typed], cuts: list[int], hold: Hold
) -> None:
    made, given_, received = answering(hold), b"", b""
    body = raw(typed)
    for chunk in cut(body, cuts):
        step = made.receive(chunk)
        assert step == Step(step.deliver)
        given_ += bytes_of(step)
        received += chunk
        types = came(typed, len(received))
        due = raw(typed[: handed_over(types, hold)])
        if "message_stop" in types:
            assert given_ == received
        else:
            assert given_ == due or (due.endswith(b"\r\n") and given_ == due[:-1])
    assert given_ == body
    assert made.is_complete
    assert made.end() == Step()


@settings(max_examples=30, deadline=None)
@given(answers(), st.sampled_from(HOLDS))
def test_an_answer_cut_at_any_byte(typed: list[Typed], hold: Hold) -> None:
    body, given_, made = raw(typed), b"", answering(hold)
    for at in range(len(body)):
        types = came(typed, at)
        due = raw(typed[: handed_over(types, hold)])
        assert body.startswith(given_)
        assert made.committed is bool(given_) is bool(due)
        if "message_stop" in types:
            assert given_ == body[:at]
        else:
            assert given_ == due or (due.endswith(b"\r\n") and given_ == due[:-1])
            assert made.may_insert
        assert made.is_complete is ("message_stop" in types)
        assert made.has_all is (made.is_complete or "message_delta" in types)
        if made.is_complete or not made.has_all:
            assert made.end() == (Step() if made.is_complete else NO_END)
        is_waiting = not due or handed_over(types, hold) < len(types)
        assert made.wants_filler is (is_waiting and not made.is_complete)
        given_ += bytes_of(made.receive(body[at : at + 1]))
    assert given_ == body


@settings(deadline=None)
@given(answers(), CUTS, st.sampled_from(HOLDS), st.integers(0, 3000))
def test_pings_are_put_in_between_events(
    typed: list[Typed], cuts: list[int], hold: Hold, limit: int
) -> None:
    ours, made, given_ = b"event: ping\ndata: ours\n\n", answering(hold, limit), b""
    for chunk in cut(raw(typed), cuts):
        given_ += ours if made.may_insert else b""
        given_ += bytes_of(made.receive(chunk))
    events, expected = Splitter().feed(given_), Splitter().feed(raw(typed))
    read = [(kind, data) for _, kind, data in events if data not in {b"", b"ours"}]
    assert read == [(kind, data) for _, kind, data in expected if data]
    assert events[0].data == b"ours"


@settings(max_examples=50, deadline=None)
@given(answers(), CUTS, st.sampled_from(HOLDS), st.data())
def test_an_answer_that_stopped_is_ended(
    typed: list[Typed], cuts: list[int], hold: Hold, data: st.DataObject
) -> None:
    body = raw(typed)
    at = data.draw(st.integers(0, len(body)))
    types = came(typed, at)
    made, given_ = answering(hold), b""
    for chunk in cut(body[:at], cuts):
        given_ += bytes_of(made.receive(chunk))
    step = made.end()
    if "message_stop" in types:
        assert step == Step()
    elif "message_delta" in types:
        whole = raw(typed[: len(types)])
        ended = given_ + bytes_of(step)
        assert ended in (whole + CLOSING, whole.removesuffix(b"\n") + CLOSING)
        assert said(made) == {"committed", "is_complete", "may_insert", "has_all"}
        assert made.end() == Step()
    else:
        assert step == NO_END


# Rule 1.


@pytest.mark.parametrize("hold", HOLDS)
def test_nothing_is_committed_before_the_first_content(hold: Hold) -> None:
    noise = b": comment\n\n" + PING + event("unheard_of")
    made = answering(hold)
    for data in (PING, b"\n", TWO[0][1], noise, TWO[1][1], noise):
        assert made.receive(data) == Step()
        assert not made.committed
        assert made.wants_filler
        assert made.may_insert
    step = made.receive(TWO[2][1])
    assert made.committed is bool(bytes_of(step)) is (hold != "message")
    assert made.wants_filler is (hold == "message")
    if bytes_of(step):
        assert bytes_of(step) == PING + b"\n" + TWO[0][1] + noise + TWO[1][1] + noise + TWO[2][1]


# Rule 2.


def test_none_flows_from_the_first_content_on() -> None:
    made = fed("none", raw(TWO[:2]))
    assert bytes_of(made.receive(TWO[2][1])) == raw(TWO[:3])
    for _, data in TWO[3:]:
        assert not made.is_complete
        assert bytes_of(made.receive(data)) == data
        assert not made.wants_filler
    assert made.is_complete


def test_none_flows_from_the_end_of_a_block_without_deltas_on() -> None:
    assert bytes_of(fed("none", raw(answer(block())[:2])).receive(event(STOP)))


def test_block_flows_until_the_first_block_ends() -> None:
    made = fed("block", raw(TWO[:2]))
    assert bytes_of(made.receive(TWO[2][1])) == raw(TWO[:3])
    for data in (TWO[3][1], PING, b": comment\n\n", event("unheard_of")):
        assert bytes_of(made.receive(data)) == data
        assert not made.wants_filler
    for _, data in TWO[4:-1]:
        assert made.receive(data) == Step()
        assert made.wants_filler
        assert made.may_insert
        assert not made.is_complete
    assert bytes_of(made.receive(TWO[-1][1])) == raw(TWO[4:])
    assert made.is_complete
    assert not made.wants_filler


def test_block_commits_nothing_of_a_first_block_without_deltas() -> None:
    typed = answer(block(), block("x", index=1))
    made = fed("block", raw(typed[:-1]))
    assert not made.committed
    assert bytes_of(made.receive(typed[-1][1])) == raw(typed)


def test_message_is_handed_over_at_its_end() -> None:
    made = fed("message", raw(TWO[:-1]))
    assert said(made) == {"has_all", "wants_filler", "may_insert"}
    assert bytes_of(made.receive(TWO[-1][1])) == raw(TWO)
    assert said(made) == {"committed", "is_complete", "has_all", "may_insert"}


@pytest.mark.parametrize("hold", HOLDS)
def test_an_answer_without_a_block_is_handed_over_at_its_end(hold: Hold) -> None:
    typed = answer()
    made = fed(hold, raw(typed[:-1]))
    assert not made.committed
    assert bytes_of(made.receive(typed[-1][1])) == raw(typed)
    assert made.is_complete


@pytest.mark.parametrize("hold", HOLDS)
def test_what_comes_after_the_end_is_handed_over_as_it_is(hold: Hold) -> None:
    made = fed(hold, raw(TWO))
    for data in (b": tra", b"iling", b"\n\n", event("error", error="api_error"), TWO[0][1], b"x"):
        assert made.receive(data) == giving(data)
        assert made.is_complete
    assert made.end() == Step()
    assert bytes_of(fed(hold).receive(raw(TWO) + b": trailing")) == raw(TWO) + b": trailing"


# Rule 3.


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("name", ["overloaded_error", "api_error"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_passing_error_before_the_content_is_a_loss(hold: Hold, name: str, count: int) -> None:
    made = fed(hold, PING, raw(TWO[:count]))
    error = event("error", error=name)
    loss = Step(loss=f"error event: {name}", error=error, kind=Kind.API_ERROR)
    assert made.receive(error + b"more") == loss
    assert not made.is_complete
    assert not made.committed


def test_a_passing_error_in_a_message_that_is_held_is_a_loss() -> None:
    step = fed("message", raw(TWO[:-1])).receive(event("error", error="api_error"))
    assert step.loss == "error event: api_error"


def test_an_error_without_an_event_field_is_one() -> None:
    error = b"data: " + event("error", error="api_error").partition(b"data: ")[2]
    loss = Step(loss="error event: api_error", error=error, kind=Kind.API_ERROR)
    assert fed("block").receive(error) == loss


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize(
    "error",
    [
        event("error", error="invalid_request_error"),
        event("error", error="rate_limit_error"),
        event("error", error="timeout_error"),
        event("error"),
        b"event: error\n\n",
        b"event: error\ndata: not JSON\n\n",
        b'event: error\ndata: {"error": 5}\n\n',
        b'event: error\ndata: {"error": {"type": ["api_error"]}}\n\n',
        b'event: error\ndata: {"error": {"type": "\xff"}}\n\n',
        b'event: error\ndata: {"x":' + b"[" * 100_000 + b"\n\n",
    ],
    ids=[
        "request",
        "rate",
        "timeout",
        "no error",
        "no data",
        "no JSON",
        "a number",
        "a list",
        "UTF-8",
        "deep",
    ],
)
def test_any_other_error_is_the_answer(hold: Hold, count: int, error: bytes) -> None:
    made = fed(hold, PING, raw(TWO[:count]))
    assert whole(made.receive(error)) == giving(PING + raw(TWO[:count]) + error)
    assert made.is_complete
    assert made.committed
    assert made.end() == Step()
    assert made.receive(b"more") == giving(b"more")


@pytest.mark.parametrize("name", ["overloaded_error", "invalid_request_error"])
@pytest.mark.parametrize("count", range(3, len(TWO)))
def test_an_error_after_the_commit_leaves_the_program_inside_its_first_block(
    name: str, count: int
) -> None:
    error = event("error", error=name)
    made = answering("block")
    given_ = bytes_of(made.receive(raw(TWO[:count])))
    assert made.receive(error) == giving(error)
    assert given_ == raw(TWO[: min(count, 4)])
    assert made.is_complete
    assert not made.wants_filler
    assert made.end() == Step()


@pytest.mark.parametrize("hold", ["block", "none"])
def test_an_error_in_what_flows_flows(hold: Hold) -> None:
    made = fed(hold, raw(TWO[:3]))
    error = event("error", error="api_error")
    assert made.receive(TWO[3][1] + error) == giving(TWO[3][1] + error)
    assert made.is_complete


# Rule 4.


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("count", range(len(TWO) - 1))
def test_an_end_before_the_stop_reason_is_a_loss(hold: Hold, count: int) -> None:
    assert fed(hold, raw(TWO[:count])).end() == NO_END


@pytest.mark.parametrize("hold", HOLDS)
def test_a_message_stop_without_its_empty_line_is_none(hold: Hold) -> None:
    made = fed(hold, raw(TWO)[:-1])
    assert not made.is_complete
    assert bytes_of(made.receive(b"\n")).endswith(TWO[-1][1])
    assert made.end() == Step()
    assert bytes_of(fed(hold, raw(TWO)[:-1]).end()).endswith(CLOSING)


@pytest.mark.parametrize("hold", HOLDS)
def test_a_loss_where_a_part_is_unfinished_is_one(hold: Hold) -> None:
    stopped = [*TWO[:8], TWO[9]]  # without the second part's content_block_stop
    made = fed(hold, raw(stopped))
    assert not made.has_all
    assert bytes_of(made.end()).endswith(CLOSING)  # but a clean end is the answer's


@pytest.mark.parametrize("hold", HOLDS)
def test_content_after_a_stop_reason_takes_it_back(hold: Hold) -> None:
    for _, more in TWO[1:3]:
        made = fed(hold, raw(TWO[:-1]) + more)
        assert not made.has_all
        assert made.end() == NO_END


@pytest.mark.parametrize("hold", HOLDS)
def test_an_end_that_is_not_told_may_be_taken_for_one(hold: Hold) -> None:
    for count, may_be in ((1, False), (3, False), (5, True), (7, False), (9, True)):
        made = fed(hold, raw(TWO[:count]))
        assert made.may_be_whole is may_be
        assert not made.has_told_end
    given_ = b""
    made = answering(hold)
    for _, data in TWO[:9]:
        given_ += bytes_of(made.receive(data))
    assert given_ + bytes_of(made.end_untold()) == raw(TWO[:9])
    assert made.is_complete
    assert not made.may_be_whole


def test_filler_that_came_last_is_known() -> None:
    made = answering("message")
    known = []
    for data in (PING, TWO[0][1], PING + TWO[1][1], PING + b": x\n\n", b": y"):
        made.receive(data)
        known.append(made.was_filler)
    assert known == [True, False, False, True, False]


def test_a_foreign_stream_has_no_stop() -> None:
    made = fed("message", b"data: [DONE]\n\n" + TWO[-2][1])
    assert not made.has_all
    assert made.end() == Step()


def test_an_event_that_was_passed_on_in_part_is_not_ended() -> None:
    made = fed("none", raw(TWO[:-1]))
    begin = b": " + b"x" * PIECE
    assert whole(made.receive(begin)) == giving(begin)
    assert made.end() == Step()
    assert made.is_complete


def test_an_answer_of_nothing_is_a_loss() -> None:
    assert answering("message").end() == NO_END
    assert fed("message", PING).end() == NO_END
    assert fed("message", event("error", error="x")[:-1]).end() == NO_END


# Rule 5.


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize(
    "first",
    [
        b'data: {"choices": []}\n\n',
        b"data: [DONE]\n\n",
        event("completion"),
        event("message_stop"),
        event(DELTA),
        b'data: {"type": ["message_start"]}\n\n',
        b"data: {" + b'"a": {' * 100_000 + b"\n\n",
        b'data: {"type": "\xff"}\n\n',
    ],
    ids=["choices", "no JSON", "another type", "the end", "a delta", "a list", "deep", "UTF-8"],
)
def test_another_dialect_flows_as_it_is(hold: Hold, first: bytes) -> None:
    begin = PING + b": comment\n\nevent: nothing\n\n"
    made = fed(hold, begin, first[:-1])
    assert said(made) == {"wants_filler", "may_insert"}
    assert whole(made.receive(first[-1:])) == giving(begin + first)
    assert said(made) == {"committed", "may_insert"}
    for data in (b"da", b"ta: 1", event("error", error="api_error"), TWO[-1][1], b"not an event"):
        assert made.receive(data) == giving(data)
        assert "is_complete" not in said(made)
    assert said(made) == {"committed"}
    assert made.end() == Step()


# Rule 6.


@pytest.mark.parametrize("hold", ["message", "block"])
def test_beyond_the_limit_all_is_handed_over_and_the_rest_flows(hold: Hold) -> None:
    made, given_ = answering(hold, len(raw(TWO)) + 999), b""
    pieces = [raw(TWO[:-1]), event("x", y="z" * 900)]
    for data in pieces:
        given_ += bytes_of(made.receive(data))
        assert made.wants_filler
    more = event("x", y="z" * 900)
    given_ += bytes_of(made.receive(more))
    assert given_ == b"".join([*pieces, more])
    assert made.committed
    assert not made.wants_filler
    assert made.receive(PING) == giving(PING)
    assert made.end() == giving(CLOSING)
    assert made.receive(TWO[-1][1]) == giving(TWO[-1][1])
    assert made.end() == Step()


def test_at_the_limit_all_is_still_held() -> None:
    made = fed("message", raw(TWO[:-1]), limit=len(raw(TWO[:-1])))
    assert not made.committed
    assert bytes_of(made.receive(b":")) == raw(TWO[:-1])


@pytest.mark.parametrize(
    ("count", "begin"),
    [(0, b"data: "), (2, b"event: content_block_delta\ndata: "), (6, b"data: "), (3, b"data: ")],
    ids=["first", "before the content", "held", "live, and of no known kind"],
)
def test_an_unfinished_event_is_held_up_to_the_limit(count: int, begin: bytes) -> None:
    made = fed("block", raw(TWO[:count]), limit=10 * PIECE)
    given_ = raw(TWO[: count * (count == 3) + 4 * (count == 6)])
    whole = raw(TWO[:count])
    for data in [begin, *[b"x" * PIECE] * 9]:
        assert made.receive(data) == Step()
        whole += data
    for data in [b"x" * PIECE] * 2:
        given_ += bytes_of(made.receive(data))
        whole += data
    assert given_ == whole
    assert said(made) == {"committed"}
    assert made.receive(b"\n\n") == giving(b"\n\n")
    assert said(made) == {"committed", "may_insert"}
    assert made.end() == NO_END


def test_the_limit_changes_nothing_where_everything_flows() -> None:
    dialect = fed("message", b"data: 1\n\n", limit=0)
    assert dialect.receive(b"data: 2") == giving(b"data: 2")
    assert dialect.end() == Step()
    complete = fed("message", raw(TWO), limit=len(raw(TWO)))
    assert complete.receive(b"x" * 9999) == giving(b"x" * 9999)
    assert complete.is_complete


# The dialect's: an event's type.


def test_an_event_field_goes_before_the_type_in_the_data() -> None:
    pretended = event("message_stop").replace(b"event: message_stop", b"event: unheard_of")
    made = fed("message", raw(TWO[:-1]), pretended)
    assert not made.is_complete
    named = event("unheard_of").replace(b"event: unheard_of", b"event: message_stop")
    assert bytes_of(made.receive(named)) == raw(TWO[:-1]) + pretended + named


def test_without_an_event_field_the_type_in_the_data_counts() -> None:
    bare = [data.partition(b"\n")[2] for _, data in TWO]
    made = fed("block", *bare[:2])
    assert bytes_of(made.receive(bare[2])) == b"".join(bare[:3])
    assert made.receive(bare[3]) == giving(bare[3])
    assert made.receive(b"".join(bare[4:-1])) == Step()
    assert bytes_of(made.receive(bare[-1])) == b"".join(bare[4:])


# Rule 7.


@pytest.mark.parametrize("hold", ["block", "none"])
def test_a_large_delta_that_flows_is_passed_on_in_pieces(hold: Hold) -> None:
    made = fed(hold, raw(TWO[:3]))
    begin = b"event: content_block_delta\ndata: "
    assert made.receive(begin + b"x" * (PIECE - len(begin))) == Step()
    assert said(made) == {"committed", "may_insert"}
    assert bytes_of(made.receive(b"x")) == begin + b"x" * (PIECE - len(begin) + 1)
    assert said(made) == {"committed"}
    assert made.receive(b"y") == giving(b"y")
    assert made.receive(b"\n\n" + TWO[3][1]) == giving(b"\n\n" + TWO[3][1])
    assert said(made) == {"committed", "may_insert"}
    assert made.receive(b"event: content_block_delta\nda") == Step()


def test_a_large_event_that_may_have_to_be_held_is_waited_for() -> None:
    stop = b"data: %b\n\n" % json.dumps({"x": "y" * 3 * PIECE, "type": STOP}).encode()
    made = fed("block", raw(TWO[:3]))
    for at in range(0, len(stop), PIECE):
        assert made.receive(stop[at : at + PIECE]) == Step()
    assert made.wants_filler
    assert bytes_of(made.receive(TWO[-1][1])) == stop + TWO[-1][1]


def test_a_delta_that_turns_out_to_be_the_end_of_the_block_is_not_ended() -> None:
    made = fed("block", raw(TWO[:3]))
    begin = b"event: content_block_delta\n: " + b"x" * PIECE
    assert whole(made.receive(begin)) == giving(begin)
    assert made.receive(b"\nevent: content_block_stop\n\n") == Step()
    assert said(made) == {"committed", "wants_filler"}
    assert bytes_of(made.receive(TWO[-1][1])) == b"\nevent: content_block_stop\n\n" + TWO[-1][1]
    assert said(made) == {"committed", "is_complete", "has_all", "may_insert"}


@pytest.mark.parametrize("size", [100, 3_000_000], ids=["small events", "large events"])
@pytest.mark.parametrize("hold", ["block", "none"])
def test_memory_stays_flat_where_events_flow(hold: Hold, size: int) -> None:
    made = fed(hold, raw(TWO[:3]))
    delta = event(DELTA, delta="x" * size)
    count, total = max(3, 3_000_000 // len(delta)), 0
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for chunk in chunks(delta, count):
            total += len(bytes_of(made.receive(chunk)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == len(delta) * count
    assert peak - before < 2**19


def chunks(data: bytes, count: int, size: int = 16 * 1024) -> Iterator[bytes]:
    """Repeat the data, and cut it, without ever having much of it."""
    rest = b""
    for _ in range(count):
        for at in range(0, len(data), size):
            rest += data[at : at + size]
            while len(rest) >= size:
                yield rest[:size]
                rest = rest[size:]
    yield rest


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_every_byte_is_looked_at_a_few_times_at_most(hold: Hold, size: int) -> None:
    made = fed(hold, raw(TWO[:3]))
    buffers = count_in(made)
    deltas = event(DELTA, delta="x" * size) * (1_000_000 // size)
    for at in range(0, len(deltas), 1000):
        made.receive(deltas[at : at + 1000])
    assert bytes_of(made.receive(TWO[-1][1]))
    assert Counted.touched <= 8 * len(deltas)
    assert counted(made) == buffers > 0


# Rule 8.

MESSAGE_START, SECOND = TWO[0][1], event("message_start", message={"id": "msg_2"})


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize(
    "begin",
    [
        [MESSAGE_START, event(DELTA)],
        [MESSAGE_START, event(STOP)],
        [MESSAGE_START, SECOND],
        [MESSAGE_START, event("message_delta")],
        [MESSAGE_START, event(START), event(START)],
        [MESSAGE_START, event(START), SECOND],
        [MESSAGE_START, event(START), event("message_delta")],
    ],
    ids=[
        "a delta outside of a block",
        "an end outside of a block",
        "a second beginning",
        "no block",
        "a block within a block",
        "a second beginning in a block",
        "a message's end in a block",
    ],
)
def test_out_of_order_before_the_content_all_is_held(hold: Hold, begin: list[bytes]) -> None:
    made = answering(hold)
    for data in [*begin, raw(TWO[1:-1]), raw(TWO[:-1])]:
        assert made.receive(data) == Step()
        assert made.wants_filler
    assert bytes_of(made.receive(TWO[-1][1])) == b"".join([*begin, raw(TWO[1:-1]), raw(TWO)])
    assert made.is_complete


@pytest.mark.parametrize("kind", ["message_start", START, STOP, "message_delta"])
def test_out_of_order_in_the_first_block_all_is_held(kind: str) -> None:
    made = fed("block", raw(TWO[:3]))
    held = [event(kind), event(DELTA), PING, event(STOP)]
    for data in held:
        assert made.receive(data) == Step()
    assert bytes_of(made.receive(TWO[-1][1])) == b"".join([*held, TWO[-1][1]])


def test_indices_are_not_read() -> None:
    made = fed("block", MESSAGE_START, event(START, index=7))
    assert bytes_of(made.receive(event(DELTA, index=-3)))
    assert made.receive(event(STOP, index="x")) == Step()
    assert made.wants_filler


@pytest.mark.parametrize("hold", HOLDS)
def test_message_stop_ends_a_block_that_has_not_ended(hold: Hold) -> None:
    for count in range(1, len(TWO)):
        made, given_ = answering(hold), b""
        for data in (raw(TWO[:count]), TWO[-1][1]):
            given_ += bytes_of(made.receive(data))
        assert given_ == raw(TWO[:count]) + TWO[-1][1]
        assert made.is_complete


# Anything at all.


@given(st.lists(st.binary(max_size=40), max_size=20), st.sampled_from(HOLDS), st.integers(0, 99))
def test_any_bytes_are_taken(data: list[bytes], hold: Hold, limit: int) -> None:
    made, given_ = answering(hold, limit), b""
    for piece in data:
        given_ += bytes_of(made.receive(piece))
    assert b"".join(data).startswith(given_)
    made.end()


@settings(deadline=None)
@given(
    answers(),
    st.lists(
        st.tuples(st.sampled_from("cdrs"), st.integers(0, 20), st.integers(0, 20)), max_size=4
    ),
    st.lists(st.tuples(st.integers(0, 9999), st.binary(max_size=3)), max_size=4),
    CUTS,
    st.sampled_from(HOLDS),
)
def test_a_spoilt_answer_loses_no_byte(
    typed: list[Typed],
    changes: list[tuple[str, int, int]],
    spots: list[tuple[int, bytes]],
    cuts: list[int],
    hold: Hold,
) -> None:
    for change, at, other in changes:
        one, two = at % len(typed), other % len(typed)
        match change:
            case "c":
                typed.insert(one, typed[two])
            case "d" if len(typed) > 1:
                del typed[one]
            case "r":
                typed[one] = typed[two]
            case _:
                typed[one], typed[two] = typed[two], typed[one]
    body = raw(typed)
    for spot, data in spots:
        at = spot % (len(body) + 1)
        body = body[:at] + data + body[at + len(data) :]
    made, given_, received = answering(hold), b"", b""
    for chunk in cut(body, cuts):
        step = made.receive(chunk)
        assert step == Step(step.deliver)
        given_ += bytes_of(step)
        received += chunk
        assert made.committed is bool(given_)
        if made.is_complete:
            assert given_ == received
    assert body.startswith(given_)
    if made.end() == Step():
        assert given_ == body


class Answers(RuleBasedStateMachine):
    """Whatever comes in whatever order: what was promised of it holds."""

    @initialize(hold=st.sampled_from(HOLDS))
    def begin(self, hold: Hold) -> None:
        self.hold = hold
        self.answer = answering(hold)
        self.types: list[str] = []
        self.received = self.given = b""
        self.dropped = 0
        self.is_lost = False

    def feed(self, data: bytes, cuts: list[int]) -> Step:
        given_ = b""
        for chunk in cut(data, cuts):
            step = self.answer.receive(chunk)
            given_ += bytes_of(step)
            if step.loss is not None:
                assert not given_
                return step
        self.received += data
        self.given += given_
        return giving(given_)

    @precondition(lambda self: not self.is_lost)
    @rule(
        kind=st.sampled_from(
            ["message_start", START, DELTA, DELTA, STOP, "message_delta", "ping", "unheard_of"]
        ),
        cuts=CUTS,
    )
    def an_event_comes(self, kind: str, cuts: list[int]) -> None:
        assert self.feed(event(kind, index=0), cuts).loss is None
        self.types.append(kind)

    @precondition(lambda self: not self.is_lost)
    @rule(cuts=CUTS)
    def the_next_event_of_a_message_comes(self, cuts: list[int]) -> None:
        order = {"message_start": START, START: DELTA, DELTA: STOP, STOP: "message_delta"}
        last = next((kind for kind in reversed(self.types) if kind in order), None)
        self.an_event_comes("message_start" if last is None else order[last], cuts)

    @precondition(lambda self: not self.is_lost and len(self.types) > 3)
    @rule(cuts=CUTS)
    def the_end_comes(self, cuts: list[int]) -> None:
        self.an_event_comes("message_stop", cuts)

    @precondition(lambda self: not self.is_lost and len(self.types) > 2)
    @rule(name=st.sampled_from(["api_error", "overloaded_error", "rate_limit_error"]), cuts=CUTS)
    def an_error_comes(self, name: str, cuts: list[int]) -> None:
        error = event("error", error=name)
        was_committed, was_over = bool(self.given), self.is_over
        step = self.feed(error, cuts)
        if was_over:
            assert step == giving(error)
        elif was_committed:
            assert step == giving(error)
            self.dropped = len(self.received) - len(self.given)
        elif name == "rate_limit_error":
            assert step == giving(self.received)
        else:
            loss = f"error event: {name}"
            assert step == Step(loss=loss, error=error, kind=Kind.API_ERROR)
            self.is_lost = True
            return
        self.types.append("error")

    @precondition(lambda self: self.is_lost)
    @rule()
    def it_is_asked_for_again(self) -> None:
        self.begin(self.hold)

    @property
    def is_dialect(self) -> bool:
        first = next((kind for kind in self.types if kind != "ping"), "message_start")
        return first not in {"message_start", "error"}

    @property
    def is_over(self) -> bool:
        return bool({"message_stop", "error"} & set(self.types)) or self.is_dialect

    @invariant()
    def what_was_given_is_what_came(self) -> None:
        if not self.dropped:
            assert self.received.startswith(self.given)
        if self.is_over and not self.is_lost:
            assert len(self.given) == len(self.received) - self.dropped
        assert self.answer.committed is bool(self.given)

    @invariant()
    def it_ends_as_it_should(self) -> None:
        if not self.is_lost:
            assert self.answer.is_complete is (self.is_over and not self.is_dialect)
            assert self.answer.end() == (Step() if self.is_over else NO_END)

    @invariant()
    def nothing_is_handed_over_that_must_be_held(self) -> None:
        if self.is_over:
            return
        assert self.hold != "message" or not self.given
        kinds = [event.kind for event in Splitter().feed(self.given)]
        assert not kinds or DELTA in kinds or (STOP in kinds and self.hold == "none")
        if self.hold == "block":
            assert STOP not in kinds
            assert kinds.count("message_start") == kinds.count(START) == bool(kinds)

    @invariant()
    def pings_are_wanted_and_possible_where_something_is_held(self) -> None:
        is_waiting = not self.is_over and (not self.given or len(self.given) < len(self.received))
        assert self.is_lost or self.answer.wants_filler is is_waiting
        assert self.answer.may_insert
        assert Splitter().feed(self.given + PING)[-1].raw == PING


TestAnswers = Answers.TestCase


def test_a_bom_is_part_of_the_first_event() -> None:
    made = fed("message", BOM[:1], BOM[1:] + raw(TWO[:-1]))
    assert bytes_of(made.receive(TWO[-1][1])) == BOM + raw(TWO)


def beginning() -> bytes:
    """Return an event that has begun, and carries content."""
    return b'event: content_block_delta\ndata: {"delta": "'


def test_an_event_that_is_too_large_is_passed_on() -> None:
    room = Room()
    made = Answer("message", ANTHROPIC.reader(), room=room)
    assert made.receive(raw(TWO[:2]) + beginning()) == Step()
    came = raw(TWO[:2]) + beginning()
    while not made.committed:
        given_ = bytes_of(made.receive(b"x" * PIECE))
        came += b"x" * PIECE
        assert len(came) <= EVENT + 2 * PIECE
    assert given_ == came
    assert made.is_too_much
    made.drop()
    assert room.left == ALL


@pytest.mark.parametrize("unfinished", [False, True])
def test_answers_that_fill_the_room_are_passed_on(unfinished: bool) -> None:
    """Two of three are held; the one that grows is given, and goes on live, and the others stay."""
    room = Room(left=5 * PIECE)
    one, two, three = (Answer("message", ANTHROPIC.reader(), room=room) for _ in range(3))
    begin = raw(TWO[:2])
    big = b"x" * PIECE if unfinished else event(DELTA, delta={"text": "x" * 2 * PIECE})
    assert one.receive(begin + (beginning() if unfinished else b"") + big) == Step()
    assert two.receive(begin) == Step()
    whole_ = begin + (beginning() if unfinished else b"") + big + big
    given_ = bytes_of(three.receive(whole_))
    assert given_ == whole_
    assert (one.committed, two.committed, three.committed) == (False, False, True)
    assert (one.is_too_much, two.is_too_much, three.is_too_much) == (False, False, True)
    three.drop()
    assert two.receive(TWO[2][1]) == Step()
    assert bytes_of(two.receive(raw(TWO[3:]))) == raw(TWO)
    two.drop()
    one.drop()
    assert room.left == 5 * PIECE


def test_what_is_given_comes_in_pieces_that_can_be_forgotten() -> None:
    typed = answer(block(*("x" * 1000 for _ in range(1000))))
    made = fed("message", raw(typed[:-1]))
    pieces = made.receive(typed[-1][1]).deliver
    assert b"".join(pieces) == raw(typed)
    assert max(map(len, pieces)) <= PIECE
    assert len(pieces) < 2 * len(raw(typed)) / PIECE


def test_events_that_say_nothing_are_counted() -> None:
    made = fed("message", TWO[0][1], PING * 3, b"\n" * 5, b": comment\n\n" * 7, TWO[1][1])
    assert made.idle == 15
    made.receive(b":\n" * 100)
    assert made.idle == 15 + 36
