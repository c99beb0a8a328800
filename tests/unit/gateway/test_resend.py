"""The resend rule: one test for each way in which asking again would be wrong, or giving up."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gateway import resend
from relay.gateway.resend import MOST, DoNotResend, Resend, State

LOST = State(is_repeatable=True, may_be_processed=True, is_committed=False, is_kept=True, resends=0)


def decided(**changes: bool | int) -> resend.Verdict:
    return resend.decide(dataclasses.replace(LOST, **changes), lambda: 1.0)  # type: ignore[arg-type]


def test_a_repeatable_request_is_asked_again() -> None:
    assert decided() == Resend(0.25)


@pytest.mark.parametrize("repeatable", [True, False])
def test_what_was_not_processed_is_asked_again(repeatable: bool) -> None:
    assert decided(may_be_processed=False, is_repeatable=repeatable) == Resend(0.25)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_committed": True}, "the program has part of the answer"),
        ({"is_committed": True, "may_be_processed": False}, "the program has part"),
        ({"is_kept": False}, "its body is larger"),
        ({"is_kept": False, "may_be_processed": False}, "its body is larger"),
        ({"is_repeatable": False}, "it may have been processed"),
        ({"resends": MOST}, "asked 6 times"),
        ({"resends": MOST, "may_be_processed": False}, "asked 6 times"),
    ],
)
def test_nothing_else_is(changes: dict[str, bool | int], why: str) -> None:
    verdict = decided(**changes)
    assert isinstance(verdict, DoNotResend)
    assert verdict.why.startswith(why)


def test_pauses_grow_and_have_a_limit() -> None:
    pauses = [
        verdict.pause for n in range(MOST) if isinstance(verdict := decided(resends=n), Resend)
    ]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert resend.decide(LOST, lambda: 0.0) == Resend(0.0)


def test_no_pause_is_longer_than_patience() -> None:
    state = dataclasses.replace(LOST, resends=4)
    assert resend.decide(state, lambda: 1.0, 3.0) == Resend(3.0)


def test_upstream_may_say_when_it_is_to_be_asked_again() -> None:
    state = dataclasses.replace(LOST, retry_after=20.0)
    assert resend.decide(state, lambda: 1.0, 300.0) == Resend(20.25)
    verdict = resend.decide(state, lambda: 1.0, 19.0)
    assert verdict == DoNotResend("upstream asks for a pause beyond patience")


@given(
    st.builds(State, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 9))
)
def test_whatever_happens(state: State) -> None:
    is_due = not state.is_committed and state.is_kept and state.resends < MOST
    is_safe = state.is_repeatable or not state.may_be_processed
    assert isinstance(resend.decide(state, lambda: 0.5), Resend) is (is_due and is_safe)
