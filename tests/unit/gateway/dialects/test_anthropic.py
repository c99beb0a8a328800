"""The Messages API: what may be repeated, what its events do, and its own words for an error."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.gateway.dialect import AnswerEvent, Role
from relay.gateway.dialects.anthropic import DIALECT as ANTHROPIC
from relay.gateway.sse import ServerSentEvent, Splitter


def split(data: bytes) -> tuple[list[ServerSentEvent], bytes]:
    splitter = Splitter()
    return splitter.feed(data), splitter.partial


def test_where_it_is_spoken() -> None:
    assert ANTHROPIC.is_spoken_by("api.anthropic.com")
    assert not ANTHROPIC.is_spoken_by("api.example")


@pytest.mark.parametrize(
    ("event", "roles", "passing_error"),
    [
        (b"event: message_start\ndata: {}\n\n", (Role.START,), ""),
        (b"event: content_block_start\ndata: {}\n\n", (Role.PART_START,), ""),
        (b'data: {"type": "content_block_delta"}\n\n', (Role.CONTENT,), ""),
        (b"event: content_block_stop\ndata: {}\n\n", (Role.PART_END,), ""),
        (b"event: message_delta\ndata: {}\n\n", (Role.MESSAGE,), ""),
        (b'event: message_delta\ndata: {"delta": {"stop_reason": null}}\n\n', (Role.MESSAGE,), ""),
        (b'data: {"type": "message_delta", "delta": {"stop_reason": "x"}}\n\n', (Role.STOP,), ""),
        (b"event: message_stop\ndata: {}\n\n", (Role.END,), ""),
        (b"event: ping\ndata: {}\n\n", (Role.FILLER,), ""),
        (b": a comment\n\n", (Role.FILLER,), ""),
        (b"event: unheard_of\n\n", (Role.FILLER,), ""),
        (b"event: unheard_of\ndata: 1\n\n", (Role.UNKNOWN,), ""),
        (b"data: [DONE]\n\n", (Role.UNKNOWN,), ""),
        (
            b'event: error\ndata: {"error": {"type": "api_error"}}\n\n',
            (Role.ERROR,),
            "api_error",
        ),
        (b'event: error\ndata: {"error": {"type": "a secret"}}\n\n', (Role.ERROR,), ""),
        (b"event: error\ndata: no JSON\n\n", (Role.ERROR,), ""),
    ],
)
def test_what_an_event_does(event: bytes, roles: tuple[Role, ...], passing_error: str) -> None:
    assert ANTHROPIC.reader().feed(event) == [AnswerEvent(event, roles, passing_error)]


def test_an_unfinished_delta_is_known_by_its_event_field() -> None:
    reader = ANTHROPIC.reader()
    reader.feed(b"event: message_start\n\n")
    known = []
    for data in (b"event: content_block_delta", b"\ndata: 1"):
        assert reader.feed(data) == []
        known.append(reader.carries_content)
    assert known == [False, True]
    assert reader.take_partial() == b"event: content_block_delta\ndata: 1"
    assert reader.size == 0
    assert reader.feed(b"2\n\n") == [AnswerEvent(b"2\n\n", (Role.CONTENT,))]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 529])
def test_a_status_that_may_pass(status: int) -> None:
    assert ANTHROPIC.is_passing(status)
    assert not ANTHROPIC.is_passing(400)


@pytest.mark.parametrize(
    ("method", "path", "prefix", "is_repeatable", "is_billed"),
    [
        ("POST", "/v1/messages", "", True, True),
        ("POST", "/v1/messages?beta=true", "", True, True),
        ("POST", "/v1/messages?", "", True, True),
        ("POST", "/v1/messages/count_tokens?beta=true", "", True, False),
        ("POST", "/a/b/v1/messages", "/a/b", True, True),
        ("POST", "/v1/messages", "/a/b", False, False),
        ("POST", "/a/b/v1/messages", "", False, False),
        ("POST", "/v1/messages/", "", False, False),
        ("POST", "//v1/messages", "", False, False),
        ("POST", "/v1/./messages", "", False, False),
        ("POST", "/v1/%6dessages", "", False, False),
        ("POST", "/V1/messages", "", False, False),
        ("POST", "/v1/messages#x", "", False, False),
        ("POST", "/v1/messages/batches", "", False, False),
        ("POST", "/v1/complete", "", False, False),
        ("POST", "http://api.anthropic.com/v1/messages", "", False, False),
        ("POST", "", "", False, False),
        ("post", "/v1/messages", "", False, False),
        ("PUT", "/v1/messages", "", False, False),
        ("DELETE", "/v1/messages", "", False, False),
        ("OPTIONS", "*", "", False, False),
        ("GET", "/v1/models", "", True, False),
        ("GET", "/v1/messages", "/a", True, False),
        ("HEAD", "/", "", True, False),
        ("get", "/", "", False, False),
    ],
)
def test_what_may_be_asked_again(
    method: str, path: str, prefix: str, is_repeatable: bool, is_billed: bool
) -> None:
    rules = ANTHROPIC.rules(method, path, prefix)
    assert rules.is_repeatable is is_repeatable
    assert rules.is_billed is rules.is_streamed is is_billed


@given(st.text(), st.text(alphabet="/v1mesag?%.# "))
def test_of_posts_exactly_the_listed_paths(prefix: str, path: str) -> None:
    bare = path.partition("?")[0]
    exact = bare in (f"{prefix}/v1/messages", f"{prefix}/v1/messages/count_tokens")
    assert ANTHROPIC.rules("POST", path, prefix).is_repeatable is exact


def test_a_ping_is_one_event() -> None:
    assert split(ANTHROPIC.filler) == (
        [ServerSentEvent(ANTHROPIC.filler, "ping", b'{"type": "ping"}')],
        b"",
    )


@given(st.text(max_size=50))
@example('a "quoted" \\ line\r\n\n\u2028\0')
@example("\udcff")
def test_an_error_is_one_event_whatever_it_says(message: str) -> None:
    (event,), partial = split(ANTHROPIC.error_event(message))
    assert partial == b""
    assert event.kind == "error"
    error = {"type": "api_error", "message": message}
    assert json.loads(event.data) == {"type": "error", "error": error}


def test_an_error_is_written_as_the_api_host_does() -> None:
    assert ANTHROPIC.error_event("Lost") == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"Lost"}}\n\n'
    )


def test_an_error_that_was_a_whole_body_becomes_an_event() -> None:
    document = b'{"type": "error",\n "error": {"type": "api_error", "message": "x"}}'
    event = ANTHROPIC.as_error_event(document)
    assert event == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"x"}}\n\n'
    )
    for other in (b"", b"<html>", b"[]", b'{"type": "message"}', b"\xff"):
        assert ANTHROPIC.as_error_event(other) == b""


@pytest.mark.parametrize(("retry", "said"), [(True, b"true"), (False, b"false")])
def test_an_error_as_a_response(retry: bool, said: bytes) -> None:
    fields, body = ANTHROPIC.error_fields("Lost", retry=retry)
    assert body == (
        b'{"type": "error", "error": {"type": "api_error", "message": "keepline: Lost"}}'
    )
    assert dict(fields) == {
        b"Content-Type": b"application/json",
        b"Content-Length": b"%d" % len(body),
        b"x-should-retry": said,
    }


def test_before_its_start_an_event_without_data_means_nothing() -> None:
    reader = ANTHROPIC.reader()
    (early,) = reader.feed(b"event: message_stop\n\n")
    (start,) = reader.feed(b"event: message_start\n\n")
    (late,) = reader.feed(b"event: message_stop\n\n")
    assert [event.roles for event in (early, start, late)] == [
        (Role.FILLER,),
        (Role.START,),
        (Role.END,),
    ]
