"""A proxy's header is told from all else, however it comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.tcp.inner.proxy_header import size

V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)


@pytest.mark.parametrize("header", [V1, V2, V2[:14] + b"\0\0", b"PROXY UNKNOWN\r\n", b"PROXY x\n"])
def test_a_header_has_a_size_once_it_is_whole(header: bytes) -> None:
    for at in range(len(header)):
        assert size(header[:at]) is None
    assert size(header) == len(header)
    assert size(header + b"\x16\3\1") == len(header)


@pytest.mark.parametrize("data", [b"x", b"POST", b"\r\nx", b"\x16\3\1", b"PROXY " + b"x" * 101])
def test_all_else_is_none(data: bytes) -> None:
    assert size(data) == 0


@given(st.binary())
def test_it_is_never_more_than_there_is(data: bytes) -> None:
    for start in (b"", V1[:6], V2[:12]):
        found = size(start + data)
        assert found is None or found <= len(start + data)
