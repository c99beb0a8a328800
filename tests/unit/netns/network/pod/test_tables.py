"""A pod's rules of nf_tables, as far as they follow from what is asked for."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from netns.network.pod import tables
from netns.network.pod.asked import Asked
from netns.network.pod.tables import Table


def texts(table: Table, chain: str) -> list[str]:
    return [rule.text for rule in table.rules if rule.chain == chain]


@pytest.mark.parametrize("chain", ["nat-output", "output"])
def test_what_is_left_alone_is_so_before_anything_is_led_or_refused(chain: str) -> None:
    networks = (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8"))
    asked = Asked(uids=(7,), networks=networks, ports=((80, 81),))
    for table, network in zip((tables.ipv4(asked), tables.ipv6(asked)), networks, strict=True):
        told = texts(table, chain)
        first = told.index("user 7 is left alone")
        assert told[first : first + 5] == [
            "user 7 is left alone",
            "user 1337 is left alone",
            f"{network} is left alone",
            "TCP port 80-81 is left alone",
            "UDP port 80-81 is left alone",
        ]
        assert all("the relay " in text for text in told[:first])


def test_what_the_kernel_alone_may_send_is_refused_to_programs_before() -> None:
    for table, name, accepted in (
        (tables.ipv4(Asked()), "IGMP", "IGMP is the kernel's"),
        (tables.ipv6(Asked()), "ICMPv6", "neighbours and multicast are the kernel's"),
    ):
        told = texts(table, "output")
        refused = told.index(f"{name} of a program is refused")
        assert told.index("user 1337 is left alone") < refused < told.index(accepted)


def test_a_rule_that_says_something_else_has_another_comment() -> None:
    comments = [
        {rule.comment() for rule in tables.ipv4(asked).rules}
        for asked in (Asked(), Asked(own_address="10.0.0.1"), Asked(relay_uid=7))
    ]
    assert len(comments[0] - comments[1]) == 1
    assert len(comments[0] - comments[2]) == 4  # its own two, and nobody answers in its place


def test_every_chain_has_rules_and_every_rule_has_a_chain() -> None:
    names = {chain.name for chain in tables.CHAINS}
    for table in (tables.ipv4(Asked()), tables.ipv6(Asked())):
        assert {rule.chain for rule in table.rules} == names
