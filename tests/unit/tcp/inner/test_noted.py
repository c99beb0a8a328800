"""Names that are asked for within connections to others are recorded, each once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.addresses import Destination
from relay.tcp.inner.noted import MOST, Noted
from tests.support.inprocess.client_hello import real

API = Destination("api.test", 443)
WEB = Destination("api.test", 80)
REQUEST = b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n"


@pytest.mark.parametrize(
    ("destination", "sent", "names"),
    [
        (API, real("other.test"), ["other.test"]),
        (API, real("api.test"), []),
        (API, real("API.test"), []),
        (Destination("10.0.0.1", 8443), real("other.test"), ["other.test"]),
        (WEB, REQUEST, ["other.test"]),
        (WEB, REQUEST.replace(b"other.test", b"api.test"), []),
        (WEB, REQUEST.replace(b"Host: other.test", b"host:API.test"), []),
        (WEB, REQUEST.replace(b"GET /", b"GET http://x.test/"), ["x.test", "other.test"]),
        (WEB, b"GET", []),
        (API, REQUEST, []),
        (API, b"", []),
        (API, real("other.test")[:100], []),
    ],
)
def test_another_name_is_recorded_once(
    destination: Destination, sent: bytes, names: list[str]
) -> None:
    noted, told = Noted(), list[str]()
    for _ in range(3):
        noted.heard(destination, told.append, sent)
    assert told == names


def test_names_are_bounded_for_each_destination_and_in_all() -> None:
    noted, told = Noted(), list[str]()
    for host in range(MOST):
        for name in range(20):
            request = REQUEST.replace(b"other", b"n%d" % name)
            noted.heard(Destination(f"h{host}.test", 80), told.append, request)
    assert told[:17] == [*(f"n{name}.test" for name in range(16)), "n0.test"]
    assert len(told) == MOST


@given(st.binary(), st.sampled_from([API, WEB]))
def test_any_bytes_are_taken(sent: bytes, destination: Destination) -> None:
    Noted().heard(destination, lambda name: None, b"\x16" + sent)
    Noted().heard(destination, lambda name: None, sent)
