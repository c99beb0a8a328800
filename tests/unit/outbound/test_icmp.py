"""What ICMP says of a dial, as the kernel queues it, and where the errno has to do."""

import errno
import struct

import pytest

from relay.outbound import icmp

ICMP_ORIGIN, LOCAL_ORIGIN = 2, 1
UNREACHABLE, TIME_EXCEEDED = 3, 11


def extended(origin: int, kind: int, code: int, number: int = errno.EHOSTUNREACH) -> bytes:
    """Write struct sock_extended_err, with the sockaddr_in of a router behind it."""
    router = struct.pack("=HHI8x", 2, 0, 0x0100010A)
    return struct.pack("=IBBBBII", number, origin, kind, code, 0, 0, 0) + router


@pytest.mark.parametrize("code", range(16))
def test_a_code_is_read_whatever_the_errno(code: int) -> None:
    assert icmp.code_of(extended(ICMP_ORIGIN, UNREACHABLE, code), errno.EHOSTUNREACH) == code


@pytest.mark.parametrize(
    "other",
    [
        b"",
        extended(ICMP_ORIGIN, UNREACHABLE, 13)[:15],
        extended(ICMP_ORIGIN, TIME_EXCEEDED, 0),
        extended(LOCAL_ORIGIN, UNREACHABLE, 13),
    ],
)
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENETUNREACH, 0),
        (errno.ENETDOWN, 0),
        (errno.EHOSTUNREACH, 1),
        (errno.EHOSTDOWN, 1),
        (errno.ENOPROTOOPT, 2),
        (errno.ECONNREFUSED, None),
        (errno.ETIMEDOUT, None),
    ],
)
def test_without_one_the_errno_stands_for_it(other: bytes, number: int, code: int | None) -> None:
    assert icmp.code_of(other, number) == code


def test_each_code_is_an_outage_or_a_verdict_or_a_refusal_or_the_kernels() -> None:
    judged = [*icmp.OUTAGES, *icmp.VERDICTS, icmp.REFUSED, 4]
    assert sorted(judged) == list(range(16))
    assert icmp.FORBIDDEN < icmp.VERDICTS
