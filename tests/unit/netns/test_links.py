"""tcp_syn_retries: the least that waits as long as patience, as the kernel counts."""

import pytest

from netns.links import syn_retries


def waits(retries: int, linear: int) -> int:
    """Return the seconds until ETIMEDOUT: the kernel's rule, pause by pause."""
    pause, waited = 1, 0
    for retransmission in range(1, retries + linear + 2):
        waited += pause
        if retransmission > linear:
            pause = min(2 * pause, 120)
    return waited


@pytest.mark.parametrize("linear", [0, 4])
def test_a_known_wait(linear: int) -> None:
    assert waits(6, linear) == 127 + linear  # 6 is the default; man tcp: 127 s


@pytest.mark.parametrize("linear", [0, 4])
@pytest.mark.parametrize("seconds", [0.5, 1, 7, 20, 127, 131, 132, 300, 3600])
def test_the_least_that_waits_so_long(seconds: float, linear: int) -> None:
    retries = syn_retries(seconds, linear)
    assert waits(retries, linear) >= seconds
    assert retries == 1 or waits(retries - 1, linear) < seconds


def test_there_is_a_most() -> None:
    assert syn_retries(1e9, 4) == 127
