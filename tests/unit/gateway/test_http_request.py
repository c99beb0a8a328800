"""What is told of requests and losses: never a query, never a byte of an answer."""

import pytest

from relay.gateway.http import LostError, Request
from relay.record.kinds import Kind


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v1/messages?beta=true&key=secret", "/v1/messages"),
        (b"/?", "/"),
        (b"*", "*"),
        (b"/\xff", "/\xff"),
    ],
)
def test_a_path_is_told_without_its_query(target: bytes, path: str) -> None:
    assert Request(b"GET", target, []).path == path


def test_a_loss_may_have_been_processed_unless_it_is_known() -> None:
    assert LostError("closed", Kind.CLOSED).may_be_processed
    known = LostError("GOAWAY", Kind.NOT_PROCESSED, may_be_processed=False)
    assert (str(known), known.cause, known.may_be_processed) == ("GOAWAY", "GOAWAY", False)
    assert known.kind is Kind.NOT_PROCESSED
