"""Header fields: those of one hop stay behind, all others pass as they were written."""

from hypothesis import given
from hypothesis import strategies as st

from relay.gateway import http as fields

SENT = [
    (b"Anthropic-Version", b"2023-06-01"),
    (b"Connection", b"keep-alive, X-Of-This-Hop"),
    (b"x-of-this-hop", b"1"),
    (b"Keep-Alive", b"timeout=5"),
    (b"TE", b"trailers"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Upgrade", b"h2c"),
    (b"X-Stainless-Retry-Count", b"0"),
    (b"x-of-this-hop-not", b"2"),
]


def test_fields_of_one_hop_stay_behind() -> None:
    assert fields.end_to_end(SENT) == [
        (b"Anthropic-Version", b"2023-06-01"),
        (b"X-Stainless-Retry-Count", b"0"),
        (b"x-of-this-hop-not", b"2"),
    ]


def test_identity_takes_the_place_of_what_was_asked_for() -> None:
    asked = [(b"Accept-Encoding", b"gzip, br"), (b"Accept", b"*/*")]
    assert fields.asking_identity(asked) == [
        (b"Accept", b"*/*"),
        (b"accept-encoding", b"identity"),
    ]


def test_media_types() -> None:
    stream = (b"Content-Type", b"Text/Event-Stream; charset=utf-8")
    assert fields.media_type([stream]) == b"text/event-stream"
    assert fields.media_type([(b"Content-Type", b"application/json")]) == b"application/json"
    assert fields.media_type([(b"content-type", b"text/html")]) == b"text/html"
    assert fields.media_type([]) == b""


def test_content_encodings() -> None:
    assert fields.is_plain([])
    assert fields.is_plain([(b"content-encoding", b"identity")])
    assert not fields.is_plain([(b"content-encoding", b"gzip")])


def test_lengths() -> None:
    assert fields.length([(b"Content-Length", b"12")]) == 12
    assert fields.length([(b"content-length", b"12, 12")]) == 12
    for odd in (b"12, 13", b"-1", b"x", b"", b"\xb2"):
        assert fields.length([(b"content-length", odd)]) is None


def test_a_length_has_as_many_digits_as_any_peer_may_mean() -> None:
    assert fields.length([(b"content-length", b"9" * 20)]) == 10**20 - 1
    assert fields.length([(b"content-length", b"0" * 21)]) is None
    assert fields.length([(b"content-length", b"1" * 5000)]) is None


def test_the_time_that_upstream_wants_to_be_left_alone() -> None:
    assert fields.retry_after([(b"Retry-After", b"7")]) == 7
    assert fields.retry_after([]) == 0
    for odd in (b"Fri, 31 Dec 1999 23:59:59 GMT", b"-1", b"1.5", b"1, 2", b"9" * 10):
        assert fields.retry_after([(b"retry-after", odd)]) == 0


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8))))
def test_any_fields_are_read_and_none_is_made_up(given: list[tuple[bytes, bytes]]) -> None:
    assert set(fields.end_to_end(given)) <= set(given)
    fields.length(given)
    fields.retry_after(given)
    fields.media_type(given)
    fields.is_plain(given)
