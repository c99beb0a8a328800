"""The resend rule: one test for each way in which asking again would be wrong, or giving up."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gateway import resend
from relay.gateway.resend import MOST, Again, GiveUp, State

LOST = State(is_listed=True, may_be_processed=True, is_committed=False, is_kept=True, resends=0)


def decided(**changes: bool | int) -> resend.Verdict:
    return resend.decide(dataclasses.replace(LOST, **changes), lambda: 1.0)  # type: ignore[arg-type]


def test_a_listed_request_is_asked_again() -> None:
    assert decided() == Again(0.25)


@pytest.mark.parametrize("listed", [True, False])
def test_what_was_not_processed_is_asked_again(listed: bool) -> None:
    assert decided(may_be_processed=False, is_listed=listed) == Again(0.25)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_committed": True}, "the program has part of the answer"),
        ({"is_committed": True, "may_be_processed": False}, "the program has part"),
        ({"is_kept": False}, "its body is larger"),
        ({"is_kept": False, "may_be_processed": False}, "its body is larger"),
        ({"is_listed": False}, "it may have been processed"),
        ({"resends": MOST}, "asked 6 times"),
        ({"resends": MOST, "may_be_processed": False}, "asked 6 times"),
    ],
)
def test_nothing_else_is(changes: dict[str, bool | int], why: str) -> None:
    verdict = decided(**changes)
    assert isinstance(verdict, GiveUp)
    assert verdict.why.startswith(why)


def test_pauses_grow_and_have_a_limit() -> None:
    pauses = [
        verdict.pause for n in range(MOST) if isinstance(verdict := decided(resends=n), Again)
    ]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert resend.decide(LOST, lambda: 0.0) == Again(0.0)


@given(
    st.builds(State, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 9))
)
def test_whatever_happens(state: State) -> None:
    is_due = not state.is_committed and state.is_kept and state.resends < MOST
    is_safe = state.is_listed or not state.may_be_processed
    assert isinstance(resend.decide(state, lambda: 0.5), Again) is (is_due and is_safe)
