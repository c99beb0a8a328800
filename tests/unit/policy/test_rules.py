"""Policy: names, addresses, networks and ports; a deny wins; a rule that cannot be read is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.addresses import Destination
from relay.policy.policy import Policy
from relay.policy.rules import Rule
from relay.policy.verdicts import NOT_ALLOWED, Allow, ByAddress, Deny


@pytest.mark.parametrize(
    ("rule", "host", "port", "matches"),
    [
        ("example.com", "example.com", 443, True),
        ("Example.COM.", "example.com", 443, True),
        ("example.com", "www.example.com", 443, False),
        ("*.example.com", "www.example.com", 80, True),
        ("*.example.com", "a.b.example.com", 80, True),
        ("*.example.com", "example.com", 80, False),
        ("*.example.com", "badexample.com", 80, False),
        ("example.com:443", "example.com", 443, True),
        ("example.com:443", "example.com", 80, False),
        ("192.0.2.1", "192.0.2.1", 22, True),
        ("192.0.2.0/24", "192.0.2.77", 22, True),
        ("192.0.2.0/24:22", "192.0.2.77", 23, False),
        ("192.0.2.0/24", "198.51.100.1", 22, False),
        ("*.example.com", "evil\\.example.com", 80, False),
        ("*", "anything.example", 1, True),
    ],
)
def test_a_rule_matches(rule: str, host: str, port: int, matches: bool) -> None:
    verdict = Policy(allow=[rule]).decide(Destination(host, port))
    assert verdict == (Allow() if matches else Deny(NOT_ALLOWED))
    denied = Policy(deny=[rule]).decide(Destination(host, port))
    assert isinstance(denied, Deny) is matches


def test_without_rules_all_is_allowed() -> None:
    assert Policy().decide(Destination("example.com", 1)) == Allow()
    assert Policy().judge_name("example.com") == Allow()


def test_a_deny_wins_over_an_allow() -> None:
    policy = Policy(allow=["*.example.com"], deny=["bad.example.com"])
    assert policy.decide(Destination("good.example.com", 443)) == Allow()
    assert policy.decide(Destination("bad.example.com", 443)) == Deny("bad.example.com")


def test_names_are_judged_before_their_port_is_known() -> None:
    policy = Policy(allow=["*.example.com:443"], deny=["bad.example.com", "odd.example.com:80"])
    assert policy.judge_name("good.example.com") == Allow()
    assert policy.judge_name("bad.example.com") == Deny("bad.example.com")
    assert policy.judge_name("odd.example.com") == Allow()
    assert policy.judge_name("elsewhere.example") == Deny(NOT_ALLOWED)


@pytest.mark.parametrize(
    "text",
    ["", ":443", "a b", "example.com:", "example.com:x", "example.com:65536", "a*b.com", "a.*.com",
     "*x.com", "300.1.1.1", "192.0.2.1/33", "192.0.2.1/24", "host/8", "example.com:²"],
)  # fmt: skip
def test_a_bad_rule_is_told(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Rule.parse(text)
    assert str(caught.value).startswith(f"{text!r}: ")


@given(st.text(), st.text(), st.integers(0, 65535))
def test_any_text_is_a_rule_or_told(text: str, host: str, port: int) -> None:
    try:
        policy = Policy(allow=[text])
    except ValueError:
        return
    assert isinstance(policy.decide(Destination(host, port)), Allow | Deny | ByAddress)
