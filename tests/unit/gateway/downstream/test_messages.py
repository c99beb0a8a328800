"""Requests as h11 hands them over, and as http.py has them."""

import h11
import pytest

from relay.gateway.downstream.messages import reason_of, request_of
from relay.gateway.http import Fields, Request


def received(target: bytes, *fields: tuple[bytes, bytes]) -> Request:
    headers = [(b"Host", b"x"), *fields]
    return request_of(h11.Request(method=b"POST", target=target, headers=headers))


@pytest.mark.parametrize(
    ("target", "origin_form"),
    [
        (b"/v1/messages?beta=true", b"/v1/messages?beta=true"),
        (b"http://host/a?b", b"/a?b"),
        (b"HTTPS://user:secret@host:1/a//b", b"/a//b"),
        (b"http://host", b"/"),
        (b"http://host?a", b"/?a"),
        (b"*", b"*"),
    ],
)
def test_the_host_of_a_target_is_left_out(target: bytes, origin_form: bytes) -> None:
    assert received(target).target == origin_form


@pytest.mark.parametrize(
    ("fields", "kept", "is_framed"),
    [
        ([], [], False),
        ([(b"Content-Length", b"0")], [(b"Content-Length", b"0")], False),
        ([(b"Content-Length", b"5")], [(b"Content-Length", b"5")], True),
        ([(b"Transfer-Encoding", b"chunked")], [(b"Transfer-Encoding", b"chunked")], True),
        (
            [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
            [(b"Transfer-Encoding", b"chunked")],
            True,
        ),
    ],
)
def test_a_body_that_is_chunked_has_no_length(
    fields: Fields, kept: Fields, is_framed: bool
) -> None:
    request = received(b"/", *fields)
    assert request == Request(b"POST", b"/", [(b"Host", b"x"), *kept], is_framed)


def test_reasons() -> None:
    assert (reason_of(502), reason_of(799)) == (b"Bad Gateway", b"")
