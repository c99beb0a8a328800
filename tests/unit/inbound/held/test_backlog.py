"""What the log has said and nobody has looked at yet: its order, its age, its end."""

from collections.abc import Callable, Iterable

from relay.inbound.held.backlog import FEW, MOST, MOST_SECONDS, Backlog


def receiving(numbers: Iterable[int]) -> Callable[[], bytes]:
    left = iter(numbers)

    def receive() -> bytes:
        for number in left:
            return str(number).encode()
        raise BlockingIOError

    return receive


def taken(backlog: Backlog, most: int = MOST, now: float = 0.0) -> list[int]:
    return [int(message) for message in backlog.taken(most, now)]


def test_few_are_taken_in_their_order() -> None:
    backlog = Backlog()
    backlog.fill(receiving(range(FEW)), 0.0)
    assert taken(backlog, 2) == [0, 1]
    assert len(backlog) == FEW - 2
    assert taken(backlog) == [*range(2, FEW)]
    assert taken(backlog) == []


def test_what_has_come_last_is_not_behind_a_flood() -> None:
    backlog = Backlog()
    backlog.fill(receiving(range(FEW + 3)), 0.0)
    assert taken(backlog) == [FEW + 2, FEW + 1, FEW, *range(FEW)]


def test_the_oldest_have_no_room() -> None:
    backlog = Backlog()
    for begun in (0, MOST, 2 * MOST):
        backlog.fill(receiving(range(begun, begun + MOST)), 0.0)
    backlog.fill(receiving([3 * MOST]), 0.0)
    assert len(backlog) == MOST
    assert min(taken(backlog)) == 2 * MOST + 1


def test_what_was_sent_again_meanwhile_is_forgotten() -> None:
    backlog = Backlog()
    backlog.fill(receiving([1]), 0.0)
    backlog.fill(receiving([2]), 1.0)
    assert taken(backlog, now=MOST_SECONDS + 0.5) == [2]
