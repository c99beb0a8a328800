"""The budget of resends: single losses are asked again, a host that fails for everybody is not."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.gateway.upstream.budget import ALL, EACH, FORGIVEN, Budget


def lost(budget: Budget, request: object, now: float = 0.0, *, streamed: bool = False) -> bool:
    return budget.lose(request, now, is_streamed=streamed)


def resends(budget: Budget, requests: int, now: float = 0.0, *, streamed: bool = False) -> int:
    """Lose requests one after the other, as often as each is asked again; count that."""
    count = 0
    for number in range(requests):
        while lost(budget, number, now, streamed=streamed):
            count += 1
        budget.leave(number)
    return count


def test_a_client_that_repeats_what_fails_has_the_resends_of_one_request() -> None:
    assert resends(Budget(), 12) == EACH


def test_losses_between_answers_are_asked_again() -> None:
    budget = Budget()
    for number in range(1000):
        assert resends(budget, 1) == EACH, number
        budget.answered(is_streamed=False)
    assert budget.spent == 0


def test_what_is_lost_together_is_asked_again_as_if_alone_up_to_a_bound() -> None:
    budget = Budget()
    assert sum(lost(budget, number) for _round in range(9) for number in range(10)) == 10 * EACH
    budget = Budget()
    assert sum(lost(budget, number) for _round in range(9) for number in range(50)) == ALL


def test_requests_that_were_lost_together_leave_nothing_to_those_that_follow() -> None:
    budget = Budget()
    for _round in range(EACH):
        assert all(lost(budget, number) for number in range(3))
    for number in range(3):
        budget.leave(number)
    assert resends(budget, 5) == 0


def test_only_an_answer_of_the_lost_kind_makes_good() -> None:
    budget = Budget()
    assert resends(budget, 1, streamed=True) == EACH
    budget.answered(is_streamed=False)
    assert resends(budget, 1) == 0
    budget.answered(is_streamed=True)
    assert resends(budget, 1) == EACH


def test_requests_that_are_still_lost_count_after_an_answer_too() -> None:
    budget = Budget()
    for number in range(4):
        lost(budget, number)
    budget.answered(is_streamed=False)
    assert sum(lost(budget, number) for _round in range(9) for number in range(4)) == 4 * EACH


def test_what_was_long_ago_is_forgotten() -> None:
    budget = Budget()
    assert resends(budget, 1, 1000.0) == EACH
    assert resends(budget, 1, 1000.0 + FORGIVEN - 1) == 0, "and the next begins to wait anew"
    assert resends(budget, 1, 1000.0 + 2 * FORGIVEN - 2) == 0
    assert resends(budget, 1, 1000.0 + 3 * FORGIVEN) == EACH


class Origin(RuleBasedStateMachine):
    """Requests come, are lost, answered and given up in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget()
        self.now = 0.0
        self.lost: set[int] = set()
        self.peak = 1
        self.paid = 0

    @rule(seconds=st.floats(0, FORGIVEN - 1))
    def wait(self, seconds: float) -> None:
        self.now = min(self.now + seconds, FORGIVEN - 1)

    @rule(number=st.integers(0, 40), streamed=st.booleans())
    def lose(self, number: int, streamed: bool) -> None:
        self.lost.add(number)
        self.peak = max(self.peak, len(self.lost))
        bound = min(EACH * self.peak, ALL)
        paid = lost(self.budget, number, self.now, streamed=streamed)
        assert paid is (self.paid < bound), "never one too many, never one too few"
        self.paid += paid

    @rule()
    @precondition(lambda self: self.lost)
    def give_up(self) -> None:
        self.budget.leave(self.lost.pop())

    @rule()
    def answer(self) -> None:
        """Of a stream, which makes all good."""
        self.budget.answered(is_streamed=True)
        self.paid, self.peak = 0, max(1, len(self.lost))

    @invariant()
    def the_account_is_right(self) -> None:
        assert self.budget.spent == self.paid <= ALL


TestOrigin = Origin.TestCase
