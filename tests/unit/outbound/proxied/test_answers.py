"""What a proxy's answers mean: a verdict, an upstream's fault, or a time-out."""

import errno

import pytest

from relay.outbound import icmp
from relay.outbound.patience import NO_ANSWER, RESET, RESETS, GiveUp, Patience, Retry
from relay.outbound.proxied.answers import (
    Cut,
    HttpRefusal,
    NoProxy,
    Refused,
    SocksRefusal,
    failure_of,
)
from relay.record.kinds import Kind


def squids(word: str) -> HttpRefusal:
    return HttpRefusal(503, "Service Unavailable", (), word)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (HttpRefusal(403, "Blocked by policy"), Kind.PROXY_DENIED, icmp.PROHIBITED),
        (HttpRefusal(405, "Not Allowed"), Kind.PROXY_DENIED, icmp.PROHIBITED),
        (HttpRefusal(407, "", ("ntlm",)), Kind.PROXY_CREDENTIALS, icmp.PROHIBITED),
        (SocksRefusal(2, "not allowed"), Kind.PROXY_DENIED, icmp.PROHIBITED),
        (SocksRefusal(7, "not supported"), Kind.PROXY_DENIED, icmp.PROHIBITED),
        (SocksRefusal(None, "authentication failure"), Kind.PROXY_CREDENTIALS, icmp.PROHIBITED),
        (HttpRefusal(302, "Found"), Kind.MALFORMED, None),
        (NoProxy("SSH"), Kind.MALFORMED, None),
        (squids("ERR_DNS_FAIL 0"), Kind.NAME_FAILURE, None),
    ],
)
def test_a_verdict_ends_the_dial_at_once(answer: Refused, kind: Kind, code: int | None) -> None:
    failure = failure_of(answer)
    patience = Patience(300, known=True, jitter=lambda: 0.5)
    assert patience.failed(failure, 0.1) == GiveUp(failure.cause, kind, code)


@pytest.mark.parametrize(
    ("answer", "number", "kind"),
    [
        (HttpRefusal(502, "Bad Gateway"), errno.ECONNREFUSED, Kind.PROXY_FAILED),
        (HttpRefusal(503, "Service Unavailable"), errno.ECONNREFUSED, Kind.PROXY_FAILED),
        (SocksRefusal(1, "general failure"), errno.ECONNREFUSED, Kind.PROXY_FAILED),
        (squids("ERR_CONNECT_FAIL 111"), errno.ECONNREFUSED, Kind.REFUSED),
        (SocksRefusal(5, "refused"), errno.ECONNREFUSED, Kind.REFUSED),
        (squids("ERR_CONNECT_FAIL 113"), errno.EHOSTUNREACH, Kind.UNREACHABLE),
        (SocksRefusal(3, "network unreachable"), errno.ENETUNREACH, Kind.UNREACHABLE),
        (HttpRefusal(504, "Gateway Time-out"), errno.ETIMEDOUT, Kind.TIMEOUT),
        (SocksRefusal(6, "TTL expired"), errno.ETIMEDOUT, Kind.TIMEOUT),
        (Cut(), errno.ECONNRESET, Kind.CLOSED),
    ],
)
def test_what_the_proxy_has_met(answer: Refused, number: int, kind: Kind) -> None:
    failure = failure_of(answer)
    assert (failure.number, failure.kind) == (number, kind)


def test_a_refusal_is_one_for_strangers_alone() -> None:
    answers: list[Refused] = [HttpRefusal(502, "Bad Gateway"), SocksRefusal(1, "failure")]
    for failure in map(failure_of, answers):
        stranger = Patience(300, known=False, jitter=lambda: 0.5)
        verdicts = [stranger.failed(failure, 0.1) for _ in range(RESETS + 1)]
        assert isinstance(verdicts[-1], GiveUp)
        assert verdicts[-1].code == icmp.REFUSED
        known = Patience(300, known=True, jitter=lambda: 0.5)
        assert all(isinstance(known.failed(failure, 0.1), Retry) for _ in range(RESETS + 1))
    late = Patience(300, known=True, jitter=lambda: 0.5).failed(failure_of(squids("")), 300)
    assert isinstance(late, GiveUp)


def test_of_ways_to_authenticate_few_are_told() -> None:
    schemes = tuple(f"scheme{number}" for number in range(500))
    assert len(failure_of(HttpRefusal(407, "x" * 9000, schemes)).cause) < 400


def test_no_answer_is_held_until_the_deadline() -> None:
    failure = failure_of(HttpRefusal(504, ""))
    patience = Patience(300, known=False, jitter=lambda: 0.5)
    assert isinstance(patience.failed(failure, 60), Retry)
    verdict = patience.failed(failure, 300)
    assert isinstance(verdict, GiveUp)
    assert verdict.code == NO_ANSWER


def test_a_proxy_that_hangs_up_is_asked_again_and_then_resets() -> None:
    patience = Patience(300, known=False, jitter=lambda: 0.5)
    verdicts = [patience.failed(failure_of(Cut()), 0.1) for _ in range(4)]
    assert [isinstance(each, Retry) for each in verdicts] == [True, True, True, False]
    assert isinstance(verdicts[3], GiveUp)
    assert verdicts[3].code == RESET


def test_a_proxys_words_are_told_without_control_characters() -> None:
    cause = failure_of(HttpRefusal(403, "\x1b[2J" + "no" * 100)).cause
    assert cause.isprintable()
    assert cause.startswith("the proxy denies it: 403 ?[2Jno")
    assert len(cause) < 160
    schemes = failure_of(HttpRefusal(407, "Who?", ("ntlm", "negotiate"))).cause
    assert schemes == "the proxy wants credentials: 407 Who? (ntlm, negotiate)"
    assert failure_of(HttpRefusal(407, "Who?")).cause.endswith("(no scheme)")
