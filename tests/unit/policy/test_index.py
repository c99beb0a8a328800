"""The index finds what a walk over all rules finds, in as many steps with 10,000 as with ten."""

import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.addresses import Destination
from relay.policy.index import Index
from relay.policy.policy import Policy
from relay.policy.rules import Rule
from tests.bench.policy import many

LABELS = ("a", "b", "c")
NAMES = st.lists(st.sampled_from(LABELS), min_size=1, max_size=4).map(tuple)
PORTS = st.none() | st.sampled_from((80, 443))
ADDRESSES = st.sampled_from([*range(8), *range(1 << 31, (1 << 31) + 4)]).map(
    lambda number: IPv4Address(0x0A000000 + number % (1 << 30))
)


@dataclass(frozen=True)
class Plain:
    """A rule as it is meant, and its text."""

    star: bool
    name: tuple[str, ...] | None
    network: IPv4Network | None
    port: int | None

    @property
    def text(self) -> str:
        host = "*" if self.star else ""
        if self.name is not None:
            host = ".".join(("*", *self.name) if self.star else self.name)
        elif self.network is not None:
            host = str(self.network)
        return host if self.port is None else f"{host}:{self.port}"

    def matches(self, host: tuple[str, ...] | IPv4Address, port: int | None) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return isinstance(host, IPv4Address) and host in self.network
        if self.name is None:
            return True
        if isinstance(host, IPv4Address):
            return False
        if self.star:
            return len(host) > len(self.name) and host[-len(self.name) :] == self.name
        return host == self.name


NETWORKS = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    ADDRESSES,
    st.integers(24, 32),
)
RULES = st.lists(
    st.builds(Plain, st.booleans(), NAMES, st.none(), PORTS)
    | st.builds(Plain, st.just(value=False), st.none(), NETWORKS, PORTS)
    | st.builds(Plain, st.just(value=True), st.none(), st.none(), PORTS),
    max_size=12,
)


@given(RULES, NAMES | ADDRESSES, PORTS)
def test_the_index_finds_what_a_walk_over_all_rules_finds(
    rules: list[Plain], host: Any, port: int | None
) -> None:
    index = Index(Rule.parse(rule.text) for rule in rules)
    text = str(host) if isinstance(host, IPv4Address) else ".".join(host)
    expected = {rule.text for rule in rules if rule.matches(host, port)}
    found = [rule.text for rule in index.matches(text, port)]
    assert set(found) == expected
    assert len(found) == len(expected)
    match = index.match(text, port)
    assert (match.text if match else None) == (found[0] if found else None)
    about = {rule.text for rule in rules if rule.matches(host, rule.port)}
    assert index.speaks_of(text) == bool(about)
    assert index.has_networks == any(rule.network for rule in rules)


def test_the_closest_rule_comes_first() -> None:
    rules = ("*", "*.b", "*.a.b", "x.a.b", "x.a.b:80", "8.0.0.0/8", "8.8.8.8", "8.8.0.0/16:80")
    index = Index(map(Rule.parse, rules))
    assert [rule.text for rule in index.matches("x.a.b", 80)] == [
        "x.a.b:80", "x.a.b", "*.a.b", "*.b", "*"]  # fmt: skip
    assert [rule.text for rule in index.matches("8.8.8.8", 80)] == [
        "8.8.8.8", "8.8.0.0/16:80", "8.0.0.0/8", "*"]  # fmt: skip


def test_the_first_of_equal_rules_counts() -> None:
    index = Index([Rule.parse("a.b", source="first"), Rule.parse("A.b.", source="second")])
    match = index.match("a.b", 1)
    assert match is not None
    assert match.source == "first"
    assert index == Index(index.rules)
    assert hash(index) == hash(Index(index.rules))
    assert index != Index(())


def steps(policy: Policy, destination: Destination, address: str) -> int:
    """Count the calls of functions that decisions make."""
    counted = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        policy.decide(destination)
        policy.judge_address(destination, address)
        policy.judge_name(destination.host)
    finally:
        sys.setprofile(None)
    return counted


def test_a_decision_takes_as_many_steps_with_ten_thousand_rules_as_with_sixty() -> None:
    destination = Destination("a.b.c.late.example", 443)
    few, most = many(60), many(10_000)
    for address in ("8.0.0.1", "9.9.9.9", "6.6.6.6"):
        steps(few, destination, address)  # what is cached is so from here on
        assert steps(most, destination, address) == steps(few, destination, address)
        literal = Destination(address, 443)
        assert steps(most, literal, address) == steps(few, literal, address)
