"""The rules of a session change in place, and verdicts that were kept are forgotten with them."""

import pytest

from relay.addresses import Destination
from relay.policy.current import MOST_KEPT, MOST_RULES, CurrentPolicy
from relay.policy.policy import MOST_LISTS, Policy
from relay.policy.verdicts import Allow, Deny

NAME = Destination("api.test", 443)
ADDRESS = "192.0.2.1"


def test_it_judges_as_its_policy_does_and_again_from_what_it_keeps() -> None:
    current = CurrentPolicy(Policy(deny=["*.test:80", "192.0.2.0/24"]))
    for _ in range(2):
        assert current.decide(NAME) == Allow()
        assert current.decide(Destination("api.test", 80)) == Deny("*.test:80")
        assert current.judge_address(NAME, ADDRESS) == Deny("192.0.2.0/24")
        assert current.judge_address(NAME, "198.51.100.1") == Allow()


def test_what_becomes_tighter_holds_from_then_on() -> None:
    current = CurrentPolicy(Policy())
    assert (current.decide(NAME), current.judge_address(NAME, ADDRESS)) == (Allow(), Allow())
    assert not current.inspects
    current.tighten(Policy(deny=["192.0.2.0/24"]))
    assert current.judge_address(NAME, ADDRESS) == Deny("192.0.2.0/24")
    current.tighten(Policy(deny=["api.test"]))
    assert current.decide(NAME) == Deny("api.test")
    assert current.judge_address(NAME, ADDRESS) == Deny("192.0.2.0/24")
    assert current.inspects


def test_a_change_that_cannot_be_leaves_the_rules_as_they_are() -> None:
    current = CurrentPolicy(Policy())
    for number in range(MOST_LISTS - 1):
        current.tighten(Policy(allow=["api.test", f"n{number}.test"]))
    with pytest.raises(ValueError, match="too often"):
        current.tighten(Policy(allow=["other.test"]))
    assert current.decide(NAME) == Allow()


def test_rules_that_are_added_in_turn_are_bounded() -> None:
    def rules(first: str) -> Policy:
        return Policy(deny=[f"{first}{number}.test" for number in range(MOST_RULES // 2)])

    current = CurrentPolicy(rules("a"))
    current.tighten(rules("b"))
    with pytest.raises(ValueError, match="too often"):
        current.tighten(rules("c"))
    assert current.decide(Destination("b0.test", 443)) == Deny("b0.test")
    assert current.decide(Destination("c0.test", 443)) == Allow()


def test_what_is_kept_is_bounded() -> None:
    current = CurrentPolicy(Policy(deny=["api.test:7"]))
    for port in range(MOST_KEPT + 10):
        assert isinstance(current.decide(Destination("api.test", port)), Deny) == (port == 7)
