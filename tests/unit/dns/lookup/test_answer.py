"""Answers that something on the way has spoilt."""

import contextlib

import dns.exception
import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dns.lookup.answer import is_referral, is_usable, read
from relay.dns.lookup.errors import UpstreamError
from tests.support.inprocess.fake_resolver import response

QUERY = dns.message.make_query("www.example", "A", use_edns=0)
SOUND = response(QUERY, "www.example 60 A 192.0.2.1").to_wire()
OPT = SOUND[-11:]


def counted(wire: bytes, at: int, number: int) -> bytes:
    """Write one of the header's counts: 4 is that of questions, 10 that of additional records."""
    return wire[:at] + number.to_bytes(2, "big") + wire[at + 2 :]


@pytest.mark.parametrize(
    "wire",
    [
        SOUND,
        SOUND + b"appended",
        SOUND[:-11],
        counted(SOUND + OPT, 10, 2),
        counted(SOUND, 10, 7),
        counted(SOUND, 8, 3),
        SOUND[:-11] + b"\xc0\x0c" + OPT[1:],
    ],
    ids=["sound", "appended", "OPT gone", "two OPT", "7 additional", "3 authority", "OPT named"],
)
def test_what_libc_reads_is_read(wire: bytes) -> None:
    message = read(wire)
    assert [rrset.to_text() for rrset in message.answer] == ["www.example. 60 IN A 192.0.2.1"]
    assert is_usable(message)


@pytest.mark.parametrize(
    "wire", [b"", SOUND[:11], SOUND[:30], counted(SOUND, 6, 5), counted(SOUND, 4, 2)]
)
def test_what_libc_does_not_read_is_malformed(wire: bytes) -> None:
    with pytest.raises(dns.exception.DNSException):
        read(wire)


def test_a_truncated_answer() -> None:
    message = response(QUERY)
    message.flags |= dns.flags.TC
    for wire in (message.to_wire(), counted(message.to_wire(), 10, 7)):
        read(wire)
        with pytest.raises(dns.message.Truncated):
            read(wire, raise_on_truncation=True)


def test_another_opcode() -> None:
    with pytest.raises(UpstreamError, match="another opcode"):
        read(SOUND[:2] + bytes([SOUND[2] | 4 << 3]) + SOUND[3:])


@given(st.binary(max_size=80) | st.binary(max_size=20).map(lambda tail: SOUND[:45] + tail))
def test_whatever_comes(wire: bytes) -> None:
    with contextlib.suppress(dns.exception.DNSException, UpstreamError):
        read(wire)


def test_a_referral_is_no_answer() -> None:
    referral = response(QUERY, authority=("example 60 NS ns.example.",))
    assert not is_referral(read(referral.to_wire()))
    referral.flags &= ~dns.flags.RA
    assert is_referral(read(referral.to_wire()))
    assert not is_usable(read(referral.to_wire()))
