"""A suspend is found once, with its length."""

from relay.host.suspend import SuspendDetector


def test_a_suspend_is_found_once() -> None:
    clock = iter([5.0, 5.0, 605.0, 605.1, 607.0])
    detector = SuspendDetector(lambda: next(clock))
    assert [detector.suspended() for _ in range(4)] == [0.0, 600.0, 0.0, 0.0]
