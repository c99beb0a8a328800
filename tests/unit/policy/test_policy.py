"""Decisions: a deny wins, a list allows, addresses are judged too, changes only tighten."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.addresses import Destination, is_ipv4
from relay.policy.policy import MOST_LISTS, Policy, Terms, Verdict
from relay.policy.rules import Rule
from relay.policy.special import BLOCKS
from relay.policy.verdicts import NOT_ALLOWED, Allow, ByAddress, Deny
from tests.unit.policy.test_index import ADDRESSES, NAMES, RULES

ALLOWLIST = Terms(mode="allowlist")
OPEN = Terms(mode="open")
PRIVATE = Terms(private="deny")
STRICT = Terms(is_strict=True)
METADATA = "169.254.169.254"


def at(host: str, port: int = 443) -> Destination:
    return Destination(host, port)


def test_without_rules_all_is_allowed() -> None:
    policy = Policy()
    assert policy.decide(at("example.com")) == policy.judge_name("example.com") == Allow()
    assert policy.judge_address(at("example.com"), "10.0.0.1") == Allow()
    assert policy.judge_inner(at("example.com"), "other.test") == Allow()
    assert (policy.mode, policy.is_allowlist, policy.has_names) == ("open", False, False)


def test_a_deny_wins_over_an_allow() -> None:
    policy = Policy(allow=["*.example.com"], deny=["bad.example.com"])
    assert policy.decide(at("good.example.com")) == Allow()
    assert policy.decide(at("bad.example.com")) == Deny("bad.example.com")
    assert policy.judge_address(at("bad.example.com"), "8.8.8.8") == Deny("bad.example.com")


def test_names_are_judged_before_their_port_is_known() -> None:
    policy = Policy(allow=["*.example.com:443"], deny=["bad.example.com", "odd.example.com:80"])
    assert policy.judge_name("good.example.com") == Allow()
    assert policy.judge_name("bad.example.com") == Deny("bad.example.com")
    assert policy.judge_name("odd.example.com") == Allow()
    assert policy.judge_name("elsewhere.example") == Deny(NOT_ALLOWED)


@pytest.mark.parametrize("host", ["evil.test", "10.1.2.3"])
def test_a_denied_network_holds_for_the_addresses_of_names(host: str) -> None:
    policy = Policy(deny=["10.0.0.0/8", f"{METADATA}:80"])
    assert policy.judge_address(at(host), "10.1.2.3") == Deny("10.0.0.0/8")
    assert policy.judge_address(at("evil.test", 80), METADATA) == Deny(f"{METADATA}:80")
    assert policy.judge_address(at("evil.test", 443), METADATA) == Allow()
    assert policy.decide(at("10.1.2.3")) == Deny("10.0.0.0/8")
    assert policy.judge_address(at("evil.test"), "11.1.2.3") == Allow()


def test_an_allowed_network_holds_for_the_addresses_of_names() -> None:
    policy = Policy(allow=["8.8.0.0/16:443", "named.test"])
    assert policy.decide(at("unnamed.test")) == policy.judge_name("unnamed.test") == ByAddress()
    assert policy.judge_address(at("unnamed.test"), "8.8.4.4") == Allow()
    assert policy.judge_address(at("unnamed.test", 80), "8.8.4.4") == Deny(NOT_ALLOWED)
    assert policy.judge_address(at("unnamed.test"), "9.9.9.9") == Deny(NOT_ALLOWED)
    assert policy.judge_address(at("named.test"), "9.9.9.9") == Allow()


def test_an_alias_needs_no_rule_and_may_be_denied() -> None:
    policy = Policy(allow=["a.test"], deny=["*.evil.test", "odd.test:80"])
    assert policy.judge_alias("cdn.example") == policy.judge_alias("odd.test") == Allow()
    assert policy.judge_alias(r"\$.evil.test") == Deny("*.evil.test")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "224.0.0.1",
                                     "255.255.255.255"])  # fmt: skip
@pytest.mark.parametrize(
    "policy", [Policy(), Policy(allow=["*"]), Policy(allow=["127.0.0.0/8", "0.0.0.0/0"])]
)
def test_what_is_no_other_host_is_denied_whatever_the_rules_are(
    policy: Policy, address: str
) -> None:
    denied = Deny(f"{address} is not an address of another host")
    assert policy.judge_address(at("rebinding.test"), address) == denied
    assert policy.decide(at(address)) == denied


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.name not in {
    "loopback", "multicast"}])  # fmt: skip
def test_special_addresses(block: object) -> None:
    network = next(known.network for known in BLOCKS if known is block)
    address = str(network[7])
    denied = Deny(f"{block}, and no rule opens it")
    assert Policy().judge_address(at("a.test"), address) == Allow()
    for terms in (PRIVATE, STRICT):
        assert Policy(terms=terms).judge_address(at("a.test"), address) == denied
        assert Policy(terms=terms).decide(at(address)) == denied
    for rule in ("*", "0.0.0.0/0", "*:443"):
        assert Policy(allow=[rule]).judge_address(at("a.test"), address) == denied
        assert Policy(allow=[rule]).decide(at(address)) == denied
    for rule in (str(network), address, f"{address}:443"):
        assert Policy(allow=[rule]).judge_address(at("a.test"), address) == Allow()
        assert Policy(allow=[rule]).decide(at(address)) == Allow()
    assert Policy(allow=[f"{address}:80", "*:443"]).decide(at(address)) == denied


def test_a_name_opens_the_private_addresses_that_it_has() -> None:
    private = "10.0.0.1"
    assert Policy(allow=["intra.test"]).judge_address(at("intra.test"), private) == Allow()
    assert Policy(allow=["*.corp.test"]).judge_address(at("a.corp.test"), private) == Allow()
    preset = Policy(allow=[Rule.parse("*.npm.test", is_preset=True), "*"])
    assert isinstance(preset.judge_address(at("a.npm.test"), private), Deny)
    both = Policy(allow=[Rule.parse("a.npm.test", is_preset=True), "*.npm.test"])
    assert both.judge_address(at("a.npm.test"), private) == Allow()
    assert isinstance(both.decide(at(private)), Deny)
    opened = Policy(allow=["intra.test"], terms=Terms(mode="open", private="deny"))
    assert opened.judge_address(at("intra.test"), private) == Allow()
    assert isinstance(opened.judge_address(at("rebinding.test"), private), Deny)
    assert opened.judge_address(at("rebinding.test"), "8.8.8.8") == Allow()


def test_the_metadata_of_a_cloud_need_an_exact_rule() -> None:
    for rule in ("metadata.test", METADATA, "169.254.0.0/16"):
        assert Policy(allow=[rule]).judge_address(at("metadata.test"), METADATA) == Allow()
    for rule in ("*.test", "*", "169.254.0.0/15", "0.0.0.0/0"):
        try:
            verdict = Policy(allow=[rule]).judge_address(at("metadata.test"), METADATA)
        except ValueError:  # host bits
            continue
        assert isinstance(verdict, Deny)
    preset = Rule.parse("metadata.test", is_preset=True)
    assert isinstance(Policy([preset]).judge_address(at("metadata.test"), METADATA), Deny)


def test_a_name_within_a_connection_is_allowed_itself() -> None:
    policy = Policy(allow=["a.test:443", "8.8.8.0/24", "*.cdn.test"], deny=["evil.cdn.test"])
    assert policy.judge_inner(at("a.test"), "A.test.") == Allow()
    assert policy.judge_inner(at("a.test"), "x.cdn.test") == Allow()
    assert policy.judge_inner(at("a.test"), "other.test") == Deny(NOT_ALLOWED)
    assert policy.judge_inner(at("x.cdn.test", 80), "a.test") == Deny(NOT_ALLOWED)
    assert policy.judge_inner(at("a.test"), r"\101vil.cdn.test") == Deny("evil.cdn.test")
    # Who allows an address allows what is behind it.
    assert policy.judge_inner(at("8.8.8.8"), "other.test") == Allow()
    assert policy.judge_inner(at("unnamed.test"), "other.test") == Allow()
    assert policy.judge_inner(at("8.8.8.8"), "evil.cdn.test") == Deny("evil.cdn.test")
    starred = Policy(allow=["*:443"])
    assert starred.judge_inner(at("9.9.9.9"), "other.test") == Allow()


def test_in_mode_open_a_name_within_a_connection_is_denied_by_a_deny_rule_alone() -> None:
    policy = Policy(allow=["a.test"], deny=["evil.test:443"], terms=OPEN)
    assert policy.judge_inner(at("a.test"), "other.test") == Allow()
    assert policy.judge_inner(at("a.test"), "evil.test") == Deny("evil.test:443")


def test_modes() -> None:
    assert Policy(allow=["a.test"]).mode == Policy(terms=ALLOWLIST).mode == "allowlist"
    assert Policy(allow=["a.test"], terms=OPEN).mode == "open"
    assert Policy(allow=["a.test"], terms=OPEN).decide(at("b.test")) == Allow()
    assert Policy(terms=STRICT).is_allowlist
    assert Policy(terms=STRICT).mode == "open"
    assert Policy(terms=STRICT).decide(at("b.test")) == Allow()
    assert Policy(terms=ALLOWLIST).decide(at("b.test")) == Deny(NOT_ALLOWED)
    assert Policy(terms=PRIVATE).is_allowlist is False


def test_has_names() -> None:
    assert not Policy(allow=["10.0.0.0/8"], deny=["192.0.2.1"]).has_names
    assert Policy(deny=["*"]).has_names
    assert Policy().narrowed(Policy(allow=["a.test"])).has_names


def test_a_change_can_only_tighten() -> None:
    start = Policy(allow=["a.test", "b.test", "10.0.0.0/8"], deny=["c.test"])
    changed = start.narrowed(Policy(allow=["b.test", "d.test", "10.1.0.0/16"], deny=["e.test"]))
    for host, verdict in {
        "a.test": ByAddress(),
        "b.test": Allow(),
        "c.test": Deny("c.test"),
        "d.test": ByAddress(),
        "e.test": Deny("e.test"),
        "10.1.0.1": Allow(),
        "10.2.0.1": Deny(NOT_ALLOWED),
    }.items():
        assert changed.decide(at(host)) == verdict, host
    assert changed.judge_address(at("a.test"), "10.1.0.1") == Allow()
    assert changed.judge_address(at("a.test"), "10.2.0.1") == Deny(NOT_ALLOWED)
    assert start.decide(at("a.test")) == Allow()


def test_a_change_to_nothing_loosens_nothing() -> None:
    start = Policy(["a.test"], ["b.test"], {"*": 5.0}, terms=PRIVATE)
    changed = start.narrowed(Policy())
    assert changed.decide(at("c.test")) == Deny(NOT_ALLOWED)
    assert changed.decide(at("b.test")) == Deny("b.test")
    assert changed.is_allowlist
    assert changed.mode == "allowlist"
    assert changed.idle_retire(at("a.test")) == 5.0


def test_the_same_change_again_adds_nothing_and_there_is_a_bound() -> None:
    policy = Policy()
    for number in range(MOST_LISTS - 1):
        change = Policy(allow=["a.test", f"n{number}.test"])
        policy = policy.narrowed(change).narrowed(change)
    assert policy.decide(at("a.test")) == Allow()
    with pytest.raises(ValueError, match="more than 32 lists"):
        policy.narrowed(Policy(allow=["b.test"]))
    for number in range(100):  # denies are one list
        policy = policy.narrowed(Policy(deny=[f"n{number}.test"]))
    assert policy.decide(at("n99.test")) == Deny("n99.test")


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        (Policy(), Policy(["a.test"]), True),
        (Policy(["a.test"]), Policy(), False),
        (Policy(["a.test", "b.test"]), Policy(["a.test"]), True),
        (Policy(["a.test"]), Policy(["a.test", "b.test"]), False),
        (Policy(["10.0.0.0/8", "a.test"]), Policy(["10.0.0.0/8"]), False),
        (Policy(["10.0.0.0/8", "a.test"]), Policy(["a.test", "10.0.0.0/8"]), True),
        (Policy(["a.test"]), Policy(terms=PRIVATE), False),
        (Policy(terms=PRIVATE), Policy(["a.test"]), False),
        (Policy(terms=STRICT), Policy(terms=PRIVATE), False),
        (Policy(terms=PRIVATE), Policy(terms=STRICT), True),
    ],
)
def test_a_list_that_allows_all_that_another_does_takes_no_room(
    wide: Policy, narrow: Policy, covers: bool
) -> None:
    assert wide.limits[0].covers(narrow.limits[0]) == covers
    both = Policy().narrowed(wide).narrowed(narrow)
    assert len(both.limits) == 2 or not covers


def test_idle_retire_is_that_of_the_first_match() -> None:
    policy = Policy(idle_retire={"a.test:443": 1.0, "*.test": 2.0})
    seconds = [policy.idle_retire(at(*to)) for to in (("a.test",), ("b.test",), ("c.example",))]
    assert seconds == [1.0, 2.0, math.inf]


TEXTS = RULES.map(lambda rules: [rule.text for rule in rules])
TERMS = st.builds(
    Terms,
    mode=st.sampled_from((None, "open", "allowlist")),
    private=st.sampled_from(("allow", "deny")),
    is_strict=st.booleans(),
)
POLICIES = st.builds(
    lambda allow, deny, terms: Policy(allow, deny, terms=terms), TEXTS, TEXTS, TERMS
)
HOSTS = NAMES.map(".".join) | ADDRESSES.map(str)


@given(POLICIES, POLICIES, HOSTS, ADDRESSES.map(str), st.sampled_from((80, 443)))
def test_what_is_narrowed_allows_what_both_allow(
    one: Policy, other: Policy, host: str, address: str, port: int
) -> None:
    both, to = one.narrowed(other), Destination(host, port)
    address = host if is_ipv4(host) else address
    for judged in (
        [each.decide(to) for each in (both, one, other)],
        [each.judge_name(host) for each in (both, one, other)],
        [each.judge_address(to, address) for each in (both, one, other)],
        [each.judge_alias(host) for each in (both, one, other)],
        [each.judge_inner(to, "a.b") for each in (both, one, other)],
    ):
        narrowed, *wide = map(strictness, judged)
        assert narrowed == max(wide)
    assert both.is_allowlist == (one.is_allowlist or other.is_allowlist)


@given(POLICIES, NAMES.map(".".join), ADDRESSES.map(str), st.sampled_from((80, 443)))
def test_a_later_verdict_is_never_milder_for_what_was_denied_before(
    policy: Policy, host: str, address: str, port: int
) -> None:
    to = Destination(host, port)
    if isinstance(policy.judge_name(host), Deny):
        assert isinstance(policy.decide(to), Deny)
    if isinstance(policy.decide(to), Deny):
        assert isinstance(policy.judge_address(to, address), Deny)
        assert isinstance(policy.judge_inner(to, host), Deny)


def strictness(verdict: Verdict) -> int:
    return [Allow, ByAddress, Deny].index(type(verdict))
