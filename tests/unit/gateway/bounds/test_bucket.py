"""How much may come that carries nothing: at once, and for hours."""

import pytest

from relay.gateway.bounds.bucket import BURST, RATE, Bucket


def test_so_much_may_come_at_once_and_no_more() -> None:
    bucket = Bucket()
    assert bucket.spend(BURST, 7.0)
    assert not bucket.spend(1, 7.0)


def test_a_second_brings_some_back() -> None:
    bucket = Bucket()
    assert bucket.spend(BURST, 7.0)
    assert bucket.spend(RATE, 8.0)
    assert not bucket.spend(1, 8.0)


def test_there_are_never_more_than_at_first() -> None:
    bucket = Bucket()
    assert bucket.spend(1, 0.0)
    bucket.refund(BURST)
    assert bucket.spend(BURST, 1e9)
    assert not bucket.spend(1, 1e9)


@pytest.mark.parametrize("pause", [0.011, 1.0, 20.0])
def test_who_sends_steadily_is_never_judged(pause: float) -> None:
    """A PING each second is one for each hundred tokens that come back; a hundred are one."""
    bucket = Bucket()
    assert all(bucket.spend(1, count * pause) for count in range(10 * BURST))


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = Bucket()
    assert bucket.spend(BURST, 100.0)
    assert not bucket.spend(1, 50.0)
