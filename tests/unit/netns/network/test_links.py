"""tcp_syn_retries: the least that waits as long as patience, as the kernel counts."""

import pytest

from netns.network.links import syn_retries


def waits(retries: int, linear: int) -> int:
    """Return the seconds until ETIMEDOUT: the kernel's rules, timer by timer."""
    alone, pause = 0, 1
    for _ in range(retries + 1):  # tcp_model_timeout()
        alone += pause
        pause = min(2 * pause, 120)
    waited, pause, retransmissions = 1, 1, 0
    while retransmissions < retries + linear and waited < alone:
        retransmissions += 1
        if retransmissions > linear:
            pause = min(2 * pause, 120)
        waited += pause
    return waited


@pytest.mark.parametrize(
    ("linear", "seconds"),
    [(0, [3, 7, 15, 31]), (1, [4, 8, 16, 32]), (2, [3, 9, 17, 33]), (4, [3, 7, 19, 35])],
)
def test_a_measured_wait(linear: int, seconds: list[int]) -> None:
    assert [waits(retries, linear) for retries in range(1, 5)] == seconds  # of Linux 6.18


@pytest.mark.parametrize("linear", [0, 4])
def test_a_known_wait(linear: int) -> None:
    assert waits(6, linear) == 127 + linear  # 6 is the default; man tcp: 127 s


@pytest.mark.parametrize("linear", [0, 1, 4, 20])
@pytest.mark.parametrize("seconds", [0.5, 1, 3, 3.1, 5, 7, 8, 11, 20, 127, 131, 132, 300, 3600])
def test_the_least_that_waits_so_long(seconds: float, linear: int) -> None:
    retries = syn_retries(seconds, linear)
    assert waits(retries, linear) >= seconds
    assert retries == 1 or waits(retries - 1, linear) < seconds


def test_there_is_a_most() -> None:
    assert syn_retries(1e9, 4) == 127
