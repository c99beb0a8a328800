"""Patience: what is told at once, what is held, and for how long."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.outbound import icmp
from relay.outbound.patience import (
    LONGEST_PAUSE,
    NO_ANSWER,
    DialError,
    GiveUp,
    Patience,
    Retry,
    verdict_of,
)
from relay.record.kinds import Kind

REFUSED = DialError("Connection refused", Kind.REFUSED, errno.ECONNREFUSED)
RESET = DialError("Connection reset by peer", Kind.RESET, errno.ECONNRESET)
NO_ROUTE = DialError("Network is unreachable", Kind.UNREACHABLE, errno.ENETUNREACH, 0)
SILENT = DialError("no answer", Kind.TIMEOUT, errno.ETIMEDOUT)
FORBIDDEN = DialError("Operation not permitted", Kind.NOT_PERMITTED, errno.EPERM)
PROHIBITED = DialError("prohibited", Kind.NOT_PERMITTED, errno.EHOSTUNREACH, 13)
NO_PORT = DialError("Cannot assign", Kind.ADDRESS_GONE, errno.EADDRNOTAVAIL)
NO_SUCH_NAME = DialError("no such name", Kind.NAME_FAILURE, is_final=True)
SERVFAIL = DialError("SERVFAIL", Kind.NAME_FAILURE)


def patience(*, known: bool = False, jitter: float = 1.0) -> Patience:
    return Patience(300, known=known, jitter=lambda: jitter)


def test_a_refusal_by_a_destination_never_seen_alive_is_told_at_once() -> None:
    assert patience().failed(REFUSED, 0.1) == GiveUp("Connection refused", Kind.REFUSED, 3)


def test_a_refusal_by_a_known_destination_is_held() -> None:
    assert patience(known=True).failed(REFUSED, 0.1) == Retry(0.25)


@pytest.mark.parametrize("known", [True, False])
def test_a_reset_after_the_accept_is_dialled_again_three_times_and_told_as_one(known: bool) -> None:
    state = patience(known=known)
    assert [state.failed(RESET, 0.1) for _ in range(3)] == [Retry(0.0)] * 3
    assert state.failed(RESET, 0.1) == GiveUp("Connection reset by peer", Kind.RESET, -2)


def test_what_a_proxy_does_not_say_is_dialled_again_as_often_and_then_a_refusal() -> None:
    vague = DialError("503", Kind.PROXY_FAILED, errno.ECONNREFUSED)
    state = patience()
    assert [state.failed(vague, 0.1) for _ in range(3)] == [Retry(0.0)] * 3
    assert state.failed(vague, 0.1) == GiveUp("503", Kind.PROXY_FAILED, 3)
    assert patience().failed(vague, 300) == GiveUp("503", Kind.PROXY_FAILED, 3)


def test_a_reset_after_the_deadline_is_told() -> None:
    assert patience().failed(RESET, 300) == GiveUp("Connection reset by peer", Kind.RESET, -2)


@pytest.mark.parametrize("failure", [NO_ROUTE, SILENT, SERVFAIL])
@pytest.mark.parametrize("known", [True, False])
def test_an_outage_is_held(failure: DialError, known: bool) -> None:
    assert patience(known=known).failed(failure, 0.1) == Retry(0.25, failure is NO_ROUTE)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("failure", "code"),
    [(FORBIDDEN, 13), (PROHIBITED, 13), (NO_SUCH_NAME, None), (NO_PORT, None)],
)
def test_what_no_waiting_can_mend_is_told_at_once(
    failure: DialError, code: int | None, known: bool
) -> None:
    verdict = patience(known=known).failed(failure, 0.1)
    assert verdict == GiveUp(failure.cause, failure.kind, code)


@pytest.mark.parametrize("code", sorted(icmp.VERDICTS))
def test_a_code_that_is_a_verdict_is_told_as_it_is(code: int) -> None:
    failure = DialError("no", Kind.UNREACHABLE, errno.EHOSTUNREACH, code)
    assert patience(known=True).failed(failure, 0.1) == GiveUp("no", Kind.UNREACHABLE, code)


# The network, or only the destination?


@pytest.mark.parametrize("code", sorted(icmp.OUTAGES))
def test_unreachable_after_another_was_reached_is_told(code: int) -> None:
    failure = DialError("no way", Kind.UNREACHABLE, errno.EHOSTUNREACH, code)
    state = patience()
    assert state.failed(failure, 1, before=4, now=4) == Retry(0.25, is_doubtful=True)
    verdict = state.failed(failure, 2, before=5, now=5)
    assert verdict == GiveUp("no way, though others are reached", Kind.UNREACHABLE, code)


def test_success_before_the_failure_shows_nothing() -> None:
    """The outage may have begun between the two."""
    state = patience()
    assert isinstance(state.failed(NO_ROUTE, 1, before=4, now=7), Retry)
    assert isinstance(state.failed(NO_ROUTE, 2, before=7, now=7), Retry)


def test_success_after_the_round_began_counts_for_the_next() -> None:
    """Its answer may be from before the network was back."""
    state = patience()
    assert isinstance(state.failed(NO_ROUTE, 1, before=4, now=4), Retry)
    assert isinstance(state.failed(NO_ROUTE, 2, before=4, now=5), Retry)
    assert isinstance(state.failed(NO_ROUTE, 3, before=5, now=5), GiveUp)


def test_silence_in_between_begins_the_comparison_anew() -> None:
    state = patience()
    assert isinstance(state.failed(NO_ROUTE, 1, before=4, now=4), Retry)
    assert state.failed(SILENT, 2, before=5, now=5) == Retry(0.25)
    assert isinstance(state.failed(NO_ROUTE, 3, before=6, now=6), Retry)
    assert isinstance(state.failed(NO_ROUTE, 4, before=7, now=7), GiveUp)


@pytest.mark.parametrize("failure", [SILENT, SERVFAIL])
def test_silence_is_held_whoever_else_is_reached(failure: DialError) -> None:
    state = patience()
    for rounds in range(20):
        assert isinstance(state.failed(failure, 1, before=rounds, now=rounds + 1), Retry)


@pytest.mark.parametrize(
    ("failures", "verdict"),
    [
        ([REFUSED, PROHIBITED], PROHIBITED),
        ([PROHIBITED, REFUSED], REFUSED),
        ([NO_ROUTE, REFUSED], NO_ROUTE),
        ([NO_ROUTE, SILENT, PROHIBITED], SILENT),
        ([RESET], RESET),
    ],
)
def test_a_race_is_lost_only_when_no_address_can_be_hoped_for(
    failures: list[DialError], verdict: DialError
) -> None:
    assert verdict_of(failures) is verdict


@pytest.mark.parametrize("known", [True, False])
def test_a_name_that_is_gone_is_told_at_once(known: bool) -> None:
    gone = DialError("the name does not exist", Kind.NAME_FAILURE, is_final=True)
    verdict = patience(known=known).failed(gone, 0.1)
    assert verdict == GiveUp("the name does not exist", Kind.NAME_FAILURE)


def test_pauses_double_up_to_a_limit() -> None:
    state = patience()
    pauses = [state.failed(NO_ROUTE, 1) for _ in range(5)]
    assert pauses == [Retry(pause, is_doubtful=True) for pause in (0.25, 0.5, 1.0, 1.5, 1.5)]
    assert state.rounds == 5


def test_a_round_without_an_answer_was_a_pause_itself() -> None:
    state = patience()
    assert [state.failed(SILENT, 1) for _ in range(5)] == [Retry(0.25)] * 5


def test_jitter_is_full() -> None:
    assert patience(jitter=0).failed(NO_ROUTE, 1) == Retry(0, is_doubtful=True)
    assert patience(jitter=0.5).failed(NO_ROUTE, 1) == Retry(0.125, is_doubtful=True)


def test_the_deadline_ends_it_without_a_word_to_the_program() -> None:
    state = patience()
    last = state.failed(NO_ROUTE, 299.9)
    assert isinstance(last, Retry)
    assert last.pause == pytest.approx(0.1)
    verdict = state.failed(NO_ROUTE, 300)
    assert verdict == GiveUp("Network is unreachable, for 300 s", Kind.UNREACHABLE, NO_ANSWER)


def test_a_refusal_that_outlasts_the_deadline_is_one() -> None:
    verdict = patience(known=True).failed(REFUSED, 300)
    assert verdict == GiveUp("Connection refused, for 300 s", Kind.REFUSED, 3)


@given(
    st.lists(st.tuples(st.sampled_from([REFUSED, NO_ROUTE, SILENT]), st.floats(0, 400))),
    st.floats(0, 1),
    st.booleans(),
)
def test_no_pause_outlasts_the_limit_or_the_deadline(
    rounds: list[tuple[DialError, float]], jitter: float, known: bool
) -> None:
    state = patience(known=known, jitter=jitter)
    for failure, elapsed in rounds:
        verdict = state.failed(failure, elapsed)
        if isinstance(verdict, Retry):
            assert 0 <= verdict.pause <= min(LONGEST_PAUSE, 300 - elapsed)
            assert known or failure is not REFUSED
        else:
            assert elapsed >= 300 or failure is REFUSED
