"""Why a destination may be reached: the verdict, the rule with its place, what would change it."""

import pytest

from netns.errors import KeeplineError
from relay.addresses import Destination
from relay.policy.host_ports import HostItself, HostPorts, PortRange
from relay.policy.policy import Policy, Terms
from relay.policy.rules import Rule
from relay.policy.why import host_lines, lines, parsed, told

PATH = "/c.toml"
LINK_LOCAL = (
    "  a link-local address of it, such as 169.254.169.254, is denied: an address in"
    " 169.254.0.0/16 is special (link-local, RFC 3927), and no rule opens it"
)
PRIVATE = (
    "  a private address of it, such as 10.0.0.1, is denied: an address in 10.0.0.0/8 is special"
    " (private use, RFC 1918), and no rule opens it"
)


def why(policy: Policy, host: str, port: int = 443) -> list[str]:
    return list(lines(policy, Destination(host, port), PATH))


def rule(text: str, source: str = "/c.toml:3", reason: str = "") -> Rule:
    return Rule.parse(text, source=source, reason=reason)


def of_host(policy: Policy, host: str, *opened: PortRange) -> list[str]:
    itself = HostItself("198.18.0.2", ("host.internal",))
    destination = Destination(host, 5432)
    assert itself.is_meant_by(host)
    return list(host_lines(policy, destination, itself, HostPorts(opened), PATH))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "db.localhost", "host.internal", "198.18.0.2", "[::1]"]
)
def test_the_hosts_loopback(host: str) -> None:
    assert of_host(Policy(), host) == [
        f"{host}:5432: denied",
        "  inside, that is the session's own loopback: a server of the host's is not reached",
        "  to reach it: --host-port 5432, or host_ports = [5432] in /c.toml",
    ]
    port = PortRange(5000, 6000, "--host-port")
    allowlist = Policy(["a.test"])
    assert of_host(allowlist, host, port) == [
        f"{host}:5432: allowed",
        "  port 5432 of the host's loopback is opened by --host-port",
        "  a server that listens there inside comes first",
        "  to deny it: --deny localhost:5432, or take it out of --host-port",
    ]
    denying = Policy(deny=[rule("localhost", reason="no")])
    assert of_host(denying, host, port) == [
        f"{host}:5432: denied",
        "  by the rule deny localhost (no), /c.toml:3",
        "  to allow it, take that rule out of /c.toml:3",
        "  port 5432 of the host's loopback is opened by --host-port",
        "  a server that listens there inside comes first",
    ]
    assert of_host(denying, host)[-1].startswith("  to reach it: --host-port 5432")


def test_what_means_the_host_is_judged_by_its_ports() -> None:
    itself, ports = HostItself("198.18.0.2", ("host.internal",)), HostPorts()
    is_denied, about = told(Policy(), Destination("localhost", 1), PATH, itself, ports)
    assert (is_denied, next(about)) == (True, "localhost:1: denied")
    is_denied, about = told(Policy(), Destination("a.test", 1), PATH, itself, ports)
    assert (is_denied, next(about)) == (False, "a.test:1: allowed")


@pytest.mark.parametrize("host", ["a.test", "10.0.0.1", "notlocalhost", "host.docker.internal"])
def test_other_hosts_are_not_the_host(host: str) -> None:
    assert not HostItself("198.18.0.2", ("host.internal",)).is_meant_by(host)


def test_without_rules() -> None:
    assert why(Policy(), "a.test") == [
        "a.test:443: allowed",
        "  the mode is open, and no rule denies it",
        '  to deny it: --deny a.test:443, or deny = ["a.test:443"] in /c.toml',
    ]


def test_an_allowed_name() -> None:
    assert why(Policy([rule("*.test:443", reason="ours")]), "a.test") == [
        "a.test:443: allowed",
        "  by the rule allow *.test:443 (ours), /c.toml:3",
        '  to deny it: --deny a.test:443, or deny = ["a.test:443"] in /c.toml',
        LINK_LOCAL,
    ]
    preset = Rule.parse("a.test", source="preset x", is_preset=True)
    assert why(Policy([preset]), "a.test")[1:] == [
        "  by the rule allow a.test, preset x",
        '  to deny it: --deny a.test:443, or deny = ["a.test:443"] in /c.toml',
        PRIVATE,
        LINK_LOCAL,
    ]


def test_a_name_whose_addresses_may_be_denied() -> None:
    policy = Policy(deny=[rule("10.0.0.0/8", "--deny", "the office")])
    assert why(policy, "a.test")[-1] == (
        "  a private address of it, such as 10.0.0.1, is denied: deny 10.0.0.0/8 (the office),"
        " --deny"
    )


def test_a_denied_name() -> None:
    policy = Policy(deny=[rule("*.evil.test", reason="a competitor"), "bare.test"])
    assert why(policy, "a.evil.test") == [
        "a.evil.test:443: denied",
        "  by the rule deny *.evil.test (a competitor), /c.toml:3",
        "  to allow it, take that rule out of /c.toml:3",
    ]
    assert why(policy, "bare.test")[1:] == [
        "  by the rule deny bare.test",
        "  to allow it, take that rule out",
    ]


@pytest.mark.parametrize(
    ("allow", "addition"),
    [
        (rule("a.test"), 'add "b\\\\.c.test:443" to the list at /c.toml:3'),
        (rule("a.test", "--allow"), r"add b\.c.test:443 to --allow"),
        (rule("a.test", "KEEPLINE_ALLOW"), r"add b\.c.test:443 to KEEPLINE_ALLOW"),
        (
            Rule.parse("a.test", source="preset x", is_preset=True),
            r"add --allow b\.c.test:443, or allow = [" + '"b\\\\.c.test:443"] in /c.toml',
        ),
    ],
)
def test_what_no_rule_allows(allow: Rule, addition: str) -> None:
    assert why(Policy([allow]), r"b\.c.test") == [
        r"b\.c.test:443: denied",
        "  no allow rule matches",
        f"  to allow it, {addition}",
    ]


def test_of_two_lists_that_which_denies_is_named() -> None:
    policy = Policy([rule("a.test")]).narrowed(Policy([rule("b.test", ".keepline.toml:7")]))
    assert why(policy, "a.test")[-1] == (
        '  to allow it, add "a.test:443" to the list at .keepline.toml:7'
    )


def test_each_address_decides() -> None:
    networks = [rule(f"10.{n}.0.0/16") for n in range(7)]
    policy = Policy([*networks, "named.test"], deny=["10.0.0.1"])
    assert why(policy.narrowed(Policy(terms=Terms(private="deny"))), "a.test") == [
        "a.test:443: each address of the name decides, for no rule names it",
        "  allowed are those in 10.0.0.0/16, 10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, 10.4.0.0/16"
        " and 2 more",
        "  denied are those in 10.0.0.1",
        "  keepline run --allow and --deny change that, or [policy] in /c.toml",
    ]
    assert len(why(Policy(networks), "a.test")) == 3


def test_addresses() -> None:
    private = Policy(terms=Terms(private="deny"))
    assert why(private, "10.0.0.1") == [
        "10.0.0.1:443: denied",
        "  an address in 10.0.0.0/8 is special (private use, RFC 1918), and no rule opens it",
        "  to allow it, add --policy-mode open --allow 10.0.0.1:443,"
        ' or policy_mode = "open" and allow = ["10.0.0.1:443"] in /c.toml',
    ]
    advised = Policy([rule("10.0.0.1:443")], terms=Terms(mode="open", private="deny"))
    assert why(advised, "10.0.0.1")[0].endswith("allowed")
    assert why(advised, "a.test")[0].endswith("allowed")
    assert why(private, "224.0.0.1")[1:] == [
        "  224.0.0.1 is not an address of another host",
        "  no rule opens it",
    ]
    assert why(Policy([rule("10.0.0.0/8")]), "10.0.0.1")[1] == (
        "  by the rule allow 10.0.0.0/8, /c.toml:3"
    )


def test_what_is_asked_about_is_one_host() -> None:
    assert parsed("A.Test.") == ("a.test", 443)
    assert parsed(" b\u00fccher.test:80 ") == ("xn--bcher-kva.test", 80)
    assert parsed("10.0.0.1/32:80") == ("10.0.0.1", 80)
    for text in ("*", "*.a.test", "10.0.0.0/8", "", "a b"):
        with pytest.raises(KeeplineError, match=r"many hosts|the form is") as caught:
            parsed(text)
        assert caught.value.next_step == "the form is keepline policy why HOST[:PORT]"
