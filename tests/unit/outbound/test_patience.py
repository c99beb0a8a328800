"""Patience: what is told at once, what is held, and for how long."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.outbound.patience import LONGEST_PAUSE, DialError, GiveUp, Patience, Retry
from relay.record.kinds import Kind

REFUSED = DialError("Connection refused", Kind.REFUSED, errno.ECONNREFUSED)
RESET = DialError("Connection reset by peer", Kind.RESET, errno.ECONNRESET)
NO_ROUTE = DialError("Network is unreachable", Kind.UNREACHABLE, errno.ENETUNREACH)
NO_ANSWER = DialError("no answer", Kind.TIMEOUT, errno.ETIMEDOUT)
FORBIDDEN = DialError("Operation not permitted", Kind.NOT_PERMITTED, errno.EPERM)


def patience(*, known: bool = False, jitter: float = 1.0) -> Patience:
    return Patience(300, known=known, jitter=lambda: jitter)


def test_a_refusal_by_a_destination_never_seen_alive_is_told_at_once() -> None:
    assert patience().failed(REFUSED, 0.1) == GiveUp("Connection refused", Kind.REFUSED)


def test_a_refusal_by_a_known_destination_is_held() -> None:
    assert patience(known=True).failed(REFUSED, 0.1) == Retry(0.25)


def test_a_reset_after_the_accept_is_dialled_again_at_once_three_times() -> None:
    state = patience()
    assert [state.failed(RESET, 0.1) for _ in range(3)] == [Retry(0.0)] * 3
    assert state.failed(RESET, 0.1) == GiveUp("Connection reset by peer", Kind.RESET)


def test_resets_by_a_known_destination_are_held_after_that() -> None:
    state = patience(known=True)
    verdicts = [state.failed(RESET, 0.1) for _ in range(4)]
    assert verdicts == [Retry(0.0)] * 3 + [Retry(1.5)]


def test_a_reset_after_the_deadline_is_told() -> None:
    assert patience().failed(RESET, 300) == GiveUp("Connection reset by peer", Kind.RESET)


@pytest.mark.parametrize("failure", [NO_ROUTE, NO_ANSWER, DialError("SERVFAIL", Kind.NAME_FAILURE)])
@pytest.mark.parametrize("known", [True, False])
def test_an_outage_is_held(failure: DialError, known: bool) -> None:
    assert patience(known=known).failed(failure, 0.1) == Retry(0.25)


@pytest.mark.parametrize("known", [True, False])
def test_what_no_waiting_can_mend_is_told_at_once(known: bool) -> None:
    verdict = patience(known=known).failed(FORBIDDEN, 0.1)
    assert verdict == GiveUp("Operation not permitted", Kind.NOT_PERMITTED)


@pytest.mark.parametrize("known", [True, False])
def test_a_name_that_is_gone_is_told_at_once(known: bool) -> None:
    gone = DialError("the name does not exist", Kind.NAME_FAILURE, is_final=True)
    verdict = patience(known=known).failed(gone, 0.1)
    assert verdict == GiveUp("the name does not exist", Kind.NAME_FAILURE)


def test_pauses_double_up_to_a_limit() -> None:
    state = patience()
    pauses = [state.failed(NO_ROUTE, 1) for _ in range(5)]
    assert pauses == [Retry(0.25), Retry(0.5), Retry(1.0), Retry(1.5), Retry(1.5)]
    assert state.rounds == 5


def test_a_round_without_an_answer_was_a_pause_itself() -> None:
    state = patience()
    assert [state.failed(NO_ANSWER, 1) for _ in range(5)] == [Retry(0.25)] * 5


def test_jitter_is_full() -> None:
    assert patience(jitter=0).failed(NO_ROUTE, 1) == Retry(0)
    assert patience(jitter=0.5).failed(NO_ROUTE, 1) == Retry(0.125)


def test_the_deadline_ends_it() -> None:
    state = patience()
    assert state.failed(NO_ROUTE, 299.9) == Retry(pytest.approx(0.1))  # type: ignore[arg-type]
    verdict = state.failed(NO_ROUTE, 300)
    assert verdict == GiveUp("Network is unreachable, for 300 s", Kind.UNREACHABLE)


@given(
    st.lists(st.tuples(st.sampled_from([REFUSED, NO_ROUTE, NO_ANSWER]), st.floats(0, 400))),
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
