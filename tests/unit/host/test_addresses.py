"""An address that comes back within a moment was never gone; one that stays away is told."""

import math

import pytest

from relay.host.addresses import SETTLE, Addresses

LO = frozenset({"127.0.0.1"})
ONE = LO | {"10.1.0.2"}
OTHER = LO | {"10.1.0.3"}
BOTH = ONE | OTHER


@pytest.fixture
def addresses() -> Addresses:
    made = Addresses()
    assert made.now(ONE, 0.0) == ONE
    assert made.deadline == math.inf
    return made


def test_an_address_that_comes_back_was_never_gone(addresses: Addresses) -> None:
    assert addresses.now(LO, 10.0) == ONE
    assert addresses.deadline == 10.0 + SETTLE
    assert addresses.now(ONE, 10.2) == ONE
    assert addresses.deadline == math.inf


def test_an_address_that_stays_away_is_told_when_it_has_had_its_time(addresses: Addresses) -> None:
    assert addresses.now(LO, 10.0) == ONE
    assert addresses.now(LO, 10.9) == ONE
    assert addresses.deadline == 10.0 + SETTLE, "a later change does not move it"
    assert addresses.now(LO, 10.0 + SETTLE) == LO
    assert addresses.deadline == math.inf


def test_another_address_means_another_network(addresses: Addresses) -> None:
    assert addresses.now(LO, 10.0) == ONE
    assert addresses.now(OTHER, 10.1) == OTHER
    assert addresses.deadline == math.inf


def test_an_address_replaced_in_one_step_is_told_at_once(addresses: Addresses) -> None:
    assert addresses.now(OTHER, 10.0) == OTHER


def test_an_address_more_takes_none_away(addresses: Addresses) -> None:
    assert addresses.now(BOTH, 10.0) == BOTH
    assert addresses.now(ONE, 10.1) == BOTH
    assert addresses.now(LO, 10.2) == BOTH
    assert addresses.now(ONE, 10.1 + SETTLE) == ONE


def test_each_absence_has_its_own_time(addresses: Addresses) -> None:
    for time in (10.0, 20.0, 30.0):
        assert addresses.now(LO, time) == ONE
        assert addresses.deadline == time + SETTLE
        assert addresses.now(ONE, time + 0.5) == ONE
