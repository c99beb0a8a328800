"""What the program is told of a dial that came to nothing."""

import errno

import pytest

from relay.inbound.offer import Refusal
from relay.outbound import icmp
from relay.outbound.patience import NO_ANSWER, DialError
from relay.record.kinds import Kind
from relay.tcp.refusal import refusal_for


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_code_is_passed_on(refusal: Refusal) -> None:
    error = DialError("no", Kind.UNREACHABLE, errno.EHOSTUNREACH, refusal.value)
    assert refusal_for(error) is refusal


def test_every_code_of_a_failed_dial_has_a_refusal() -> None:
    for code in icmp.OUTAGES | icmp.VERDICTS | {icmp.REFUSED, NO_ANSWER}:
        assert refusal_for(DialError("no", Kind.OTHER, 0, code)) in Refusal


@pytest.mark.parametrize("kind", [Kind.PROGRAM_GONE, Kind.SESSION_END, Kind.CANCELLED])
def test_nothing_is_sent_where_nobody_waits(kind: Kind) -> None:
    assert refusal_for(DialError("gone", kind)) is Refusal.NO_ANSWER


@pytest.mark.parametrize("kind", [Kind.NAME_FAILURE, Kind.RESOURCES])
def test_what_has_no_code_is_a_host_that_cannot_be_reached(kind: Kind) -> None:
    assert refusal_for(DialError("no", kind)) is Refusal.HOST_UNREACHABLE
