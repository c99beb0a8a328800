"""A rule is read into one form, whatever its spelling; one that could never match is an error."""

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
        ("*.example.com", r"evil\.example.com", 80, False),
        ("*.example.com", r"\$.example.com", 80, True),
        ("*.example.com", r"\001.example.com", 80, True),
        ("*.example.com", r"a\.b.example.com", 80, True),
        ("example.com", r"\100xample.com", 80, False),  # "dxample.com"
        ("example.com", r"\069xample.com", 80, True),  # "Example.com"
        (r"\069xample.com", "example.com", 80, True),
        (r"a\.b.example.com", r"a\046b.example.com", 80, True),
        (r"a\.b.example.com", "a.b.example.com", 80, False),
        ("example.com.:443", "example.com", 443, True),
        ("*.example.com.:443", "www.example.com", 443, True),
        ("  example.com  ", "example.com", 443, True),
        ("example.com:443", "example.com", 443, True),
        ("example.com:443", "example.com", 80, False),
        ("bücher.test", "xn--bcher-kva.test", 80, True),
        ("BÜCHER。test", "xn--bcher-kva.test", 80, True),
        ("*.bücher.test:443", "www.xn--bcher-kva.test", 443, True),
        ("xn--bcher-kva.test", "xn--bcher-kva.test", 80, True),
        ("_dmarc.example.com", "_dmarc.example.com", 80, True),
        ("8.8.8.8", "8.8.8.8", 22, True),
        ("8.8.8.8.", "8.8.8.8", 22, True),
        ("\uff18.8.8.8", "8.8.8.8", 22, True),
        ("8.8.8.0/24", "8.8.8.77", 22, True),
        ("8.8.8.0/255.255.255.0", "8.8.8.77", 22, True),
        ("8.8.8.0/24:22", "8.8.8.77", 23, False),
        ("8.8.8.0/24", "9.9.9.9", 22, False),
        ("*", "anything.example", 1, True),
        ("*", "8.8.8.8", 1, True),
        ("*:1", "anything.example", 1, True),
        ("*:1", "anything.example", 2, False),
    ],
)
def test_a_rule_matches_for_allow_and_deny_alike(
    rule: str, host: str, port: int, matches: bool
) -> None:
    verdict = Policy(allow=[rule]).decide(Destination(host, port))
    assert verdict == (Allow() if matches else Deny(NOT_ALLOWED))
    denied = Policy(deny=[rule]).decide(Destination(host, port))
    assert isinstance(denied, Deny) is matches


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "the form is HOST[:PORT]"),
        (":443", "the form is HOST[:PORT]"),
        (".", "the form is HOST[:PORT]"),
        ("a b", "the form is HOST[:PORT]"),
        ("\x1b[2J.test", "it has a character that nobody sees: write its octet, as in \\027"),
        ("a\x00.test", "it has a character that nobody sees: write its octet, as in \\027"),
        ("example.com:", "the port is no number from 1 to 65535"),
        ("example.com:x", "the port is no number from 1 to 65535"),
        ("example.com:0", "the port is no number from 1 to 65535"),
        ("example.com:65536", "the port is no number from 1 to 65535"),
        ("example.com:²", "the port is no number from 1 to 65535"),
        ("a*b.com", "a star stands for whole labels at the start, as in *.name"),
        ("a.*.com", "a star stands for whole labels at the start, as in *.name"),
        ("*x.com", "a star stands for whole labels at the start, as in *.name"),
        ("*.*.com", "a star stands for whole labels at the start, as in *.name"),
        (r"a\.b.c*", "a star stands for whole labels at the start, as in *.name"),
        ("a..b", "a label of it is empty: the dots are one too many"),
        (".a", "a label of it is empty: the dots are one too many"),
        ("a.com..", "a label of it is empty: the dots are one too many"),
        ("a" * 64 + ".com", "a label is above 63 octets, which no name has"),
        (".".join(["a" * 49] * 6), "it is above 253 characters, which no name is"),
        (
            "*." + ".".join(["a" * 63] * 3 + ["a" * 61]),
            "it is above 253 characters, which no name is",
        ),
        ("300.1.1.1", "it ends in a number and is no IPv4 address, which no name does"),
        ("example.7", "it ends in a number and is no IPv4 address, which no name does"),
        ("10.1", "programs read it as the address 10.0.0.1: write that"),
        ("0x7f.1", "programs read it as the address 127.0.0.1: write that"),
        ("0x7f000001", "programs read it as the address 127.0.0.1: write that"),
        ("010.0.0.1", "programs read it as the address 8.0.0.1: write that"),
        ("192.0.2.1/33", "the length of a network is a number from 0 to 32"),
        ("192.0.2.1/", "the length of a network is a number from 0 to 32"),
        ("10.1/8", "programs read it as the address 10.0.0.1: write that"),
        ("192.0.2.1/24", "it has bits set beyond its length: write 192.0.2.0/24"),
        ("host/8", "a length follows an IPv4 address alone: leave it out"),
        ("*.10.0.0.0/8", "names below an address do not exist: leave the star out"),
        ("*.10.0.0.1", "names below an address do not exist: leave the star out"),
        ("::1", "it is an IPv6 address, and keepline sends no IPv6: leave it out"),
        ("[::1]:443", "it is an IPv6 address, and keepline sends no IPv6: leave it out"),
        ("[v6]", "it is an IPv6 address, and keepline sends no IPv6: leave it out"),
        ("https://example.com", "it is the address of a page: write its host alone, HOST[:PORT]"),
        ("user@example.com", r"no host name has @ in it: write \064 if it is meant"),
        ("a.test,b.test", r"no host name has , in it: write \044 if it is meant"),
        ("example.com?q", r"no host name has ? in it: write \063 if it is meant"),
        ('"example.com"', r'no host name has " in it: write \034 if it is meant'),
        ("10.0.0.1%eth0", r"no host name has % in it: write \037 if it is meant"),
        ("*.exa$mple.com:443", r"no host name has $ in it: write \036 if it is meant"),
        ("example.com\\", r"no host name has \ in it: write \092 if it is meant"),
        ("ü" * 64, "it is no internationalized name (Label too long): write its xn-- form"),
    ],
)
def test_a_rule_that_cannot_match_is_told_with_the_next_step(text: str, mistake: str) -> None:
    with pytest.raises(ValueError) as caught:
        Rule.parse(text)
    assert str(caught.value) == f"{text!r}: {mistake}"


def test_a_rule_carries_its_source_and_reason() -> None:
    rule = Rule.parse("*.evil.test", source="c.toml:3", reason="a competitor")
    policy = Policy(deny=[rule])
    denied = policy.decide(Destination("www.evil.test", 443))
    assert denied == Deny("*.evil.test", "a competitor", "c.toml:3")
    assert denied.told == "*.evil.test (a competitor)"
    assert denied.is_by_rule
    assert not Deny(NOT_ALLOWED).is_by_rule
    assert Deny(NOT_ALLOWED).told == NOT_ALLOWED


@given(st.text(), st.text(), st.integers(0, 65535))
def test_any_text_is_a_rule_or_told(text: str, host: str, port: int) -> None:
    try:
        policy = Policy(allow=[text])
    except ValueError:
        return
    assert isinstance(policy.decide(Destination(host, port)), Allow | Deny | ByAddress)
