"""The rules of a session change in place, and verdicts that were kept are forgotten with them."""

from relay.addresses import Destination
from relay.policy.current import MOST_KEPT, MOST_RULES, CurrentPolicy
from relay.policy.policy import MOST_LISTS, Policy
from relay.policy.rules import Rule
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


CLOSED = Deny("*", "the settings were changed too often for one session")


def test_after_too_many_lists_nothing_is_allowed() -> None:
    """A change that tightens is never ignored, or a program could see to it that one is."""
    current = CurrentPolicy(Policy())
    for number in range(MOST_LISTS - 1):
        current.tighten(Policy(allow=["api.test", f"n{number}.test"]))
    assert (current.decide(NAME), current.is_closed) == (Allow(), False)
    for number in range(100):
        current.tighten(Policy(allow=["api.test", f"m{number}.test"], deny=[f"{number}.test"]))
        assert (current.decide(NAME), current.is_closed) == (CLOSED, True)
        assert current.judge_name("any.test") == current.judge_address(NAME, ADDRESS) == CLOSED
    assert (len(current.limits), len(current.deny.rules)) == (MOST_LISTS, 1)


def test_a_list_that_grows_or_moves_within_its_file_takes_no_room() -> None:
    current = CurrentPolicy(Policy())
    names: list[str] = ["api.test"]
    for number in range(1000):
        allow = [Rule.parse(name, source=f"c.toml:{number}") for name in names[:40]]
        deny = [Rule.parse(f"{each}.evil.test", source=f"c.toml:{number}") for each in range(40)]
        current.tighten(Policy(allow, deny))
        names.append(f"n{number}.test")
    assert current.decide(NAME) == Allow()
    assert (len(current.limits), len(current.deny.rules)) == (2, 40)


def test_rules_that_are_added_in_turn_are_bounded() -> None:
    def rules(first: str) -> Policy:
        return Policy(deny=[f"{first}{number}.test" for number in range(MOST_RULES // 2)])

    current = CurrentPolicy(rules("a"))
    current.tighten(rules("b"))
    assert current.decide(Destination("b0.test", 443)) == Deny("b0.test")
    current.tighten(rules("c"))
    assert current.decide(Destination("other.test", 443)) == CLOSED


def test_what_is_kept_is_bounded() -> None:
    current = CurrentPolicy(Policy(deny=["api.test:7"]))
    for port in range(MOST_KEPT + 10):
        assert isinstance(current.decide(Destination("api.test", port)), Deny) == (port == 7)
