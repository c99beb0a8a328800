"""A bound of time is a quiet machine's, and grows by what another one is slower."""

import pytest

from tests.support.pace import measured_slowness, patience, within


def never() -> float:
    pytest.fail("what is fast enough needs no measuring")


@pytest.mark.parametrize("seconds", [0.0, 0.9, 1.0])
def test_what_is_fast_enough_is_not_measured(seconds: float) -> None:
    assert within(seconds, 1.0, never)


@pytest.mark.parametrize(
    ("seconds", "slowness", "enough"), [(1.01, 1.0, False), (3.0, 3.0, True), (3.01, 3.0, False)]
)
def test_what_is_not_may_be_as_much_slower_as_the_machine(
    seconds: float, slowness: float, enough: bool
) -> None:
    assert within(seconds, 1.0, lambda: slowness) is enough


def test_no_machine_is_taken_for_a_faster_one() -> None:
    assert measured_slowness() >= 1
    assert patience(10) >= 10
