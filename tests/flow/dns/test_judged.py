"""What policy says of names: of those that are asked for, and of those that answers lead to."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import dns.edns
import dns.message
import dns.name
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dns.lookup.probe import address_query
from relay.dns.messages import MAX_EXPLANATION, parse
from relay.policy.policy import Policy, Terms
from relay.policy.rules import Rule
from relay.record.events import NameForwarded, NameRefused
from tests.support.inprocess.fake_resolver import says
from tests.support.inprocess.nameserver import (
    ADDRESS,
    PATIENT,
    Bench,
    addresses,
    answer_to,
    serving,
)

judged = partial(serving, timeouts=PATIENT)
REFUSED = dns.rcode.REFUSED
STRICT = Policy(terms=Terms(is_strict=True))
CHAIN = ("www.example 60 CNAME x.example.", "x.example 60 CNAME a.evil.example.")
EVIL = Policy(deny=["*.evil.example"])


def explanations(answer: dns.message.Message) -> list[tuple[int, str | None]]:
    return [(o.code, o.text) for o in answer.options if isinstance(o, dns.edns.EDEOption)]


def aliases(made: Bench) -> set[str]:
    return {event.alias for event in made.recorded(NameRefused) if isinstance(event, NameRefused)}


@pytest.mark.parametrize(
    ("rdtype", "records"),
    [
        ("A", (*CHAIN, "a.evil.example 60 A 192.0.2.1")),
        ("A", (*CHAIN, "a.evil.example 60 CNAME b.example.", "b.example 60 A 192.0.2.1")),
        ("AAAA", (*CHAIN, "a.evil.example 60 A 192.0.2.1")),
        ("AAAA", CHAIN),
        ("CNAME", ("www.example 60 CNAME A.EVIL.example.",)),
        ("MX", (*CHAIN, "a.evil.example 60 MX 10 m.example.")),
        ("TXT", CHAIN),
        ("HTTPS", (*CHAIN, "a.evil.example 60 HTTPS 1 .")),
        ("HTTPS", ("www.example 60 HTTPS 0 a.evil.example.",)),
        ("SVCB", ("www.example 60 SVCB 0 a.evil.example.",)),
    ],
)
async def test_an_answer_that_leads_through_a_denied_name_is_refused(
    rdtype: str, records: Sequence[str]
) -> None:
    async with judged(says(*records), policy=EVIL) as made:
        for _ in range(2):  # from the cache too
            answer = await made.ask(rdtype=rdtype, use_edns=0)
            assert (answer.rcode(), answer.answer) == (REFUSED, [])
            assert explanations(answer) == [(15, "*.evil.example")]
        assert aliases(made) == {"a.evil.example"}
        assert len(made.synthetic) == 0


@pytest.mark.parametrize(
    ("rdtype", "record"),
    [
        ("MX", "10 a.evil.example."),
        ("SRV", "0 0 443 a.evil.example."),
        ("HTTPS", "1 a.evil.example."),
        ("NS", "a.evil.example."),
    ],
)
async def test_names_that_are_data_are_judged_when_they_are_asked_for(
    rdtype: str, record: str
) -> None:
    async with judged(says(f"www.example 60 {rdtype} {record}"), policy=EVIL) as made:
        assert addresses(await made.ask(rdtype=rdtype)) == [record]
        assert (await made.ask("a.evil.example")).rcode() == REFUSED
        assert len(made.upstream.asked) == 1


async def test_a_denied_name_is_not_asked_for_where_a_chain_was_cut_short() -> None:
    async with judged(says(*CHAIN), policy=EVIL) as made:
        assert (await made.ask()).rcode() == REFUSED
        assert len(made.upstream.asked) == 1


async def test_what_is_cached_is_judged_by_the_policy_that_holds_now() -> None:
    async with judged(says(*CHAIN, "a.evil.example 60 A 192.0.2.1"), policy=Policy()) as made:
        assert (await made.ask()).rcode() == dns.rcode.NOERROR
        made.policy.tighten(EVIL)
        assert (await made.ask()).rcode() == REFUSED


async def test_an_alias_needs_no_allow_rule_of_its_own() -> None:
    records = (*CHAIN, "a.evil.example 60 A 192.0.2.1")
    async with judged(says(*records), policy=Policy(allow=["www.example"])) as made:
        assert len(addresses(await made.ask())) == 3
        assert (await made.ask("x.example")).rcode() == REFUSED


# Labels as they are on the wire.


LABELS: list[tuple[bytes, ...]] = [
    (b"$", b"evil", b"example"),
    (b"\x01", b"EVIL", b"exAMPle"),
    (b"a.b", b"evil", b"example"),
    (b"a", b"\\", b"evil", b"example"),
    (b"\xc4\xff", b"evil", b"example"),
    (b'"', b"evil", b"example"),
    (b"@ ;()", b"eVil", b"example"),
    (b"*", b"evil", b"example"),
]


@pytest.mark.parametrize("over", ["udp", "tcp"])
@pytest.mark.parametrize("rdtype", ["A", "AAAA", "TXT", "ANY", "HTTPS"])
@pytest.mark.parametrize("labels", LABELS)
async def test_no_octet_takes_a_name_past_a_rule(
    labels: Sequence[bytes], rdtype: str, over: Literal["udp", "tcp"]
) -> None:
    query = dns.message.make_query(dns.name.Name((*labels, b"")), rdtype, use_edns=0)
    async with judged(ADDRESS, policy=EVIL) as made:
        send = made.udp if over == "udp" else made.tcp
        answer = answer_to(query, await send(query.to_wire()))
        assert (answer.rcode(), made.upstream.asked) == (REFUSED, [])
        assert explanations(answer) == [(15, "*.evil.example")]


@pytest.mark.parametrize("policy", [EVIL, Policy(allow=["*.evil.example"])])
async def test_a_dot_in_a_label_is_none_between_two(policy: Policy) -> None:
    r"""`a\.evil.example` has two labels, and is not below evil.example."""
    asked = dns.name.Name((b"a.evil", b"example", b""))
    query = dns.message.make_query(asked, "A")
    is_denied = policy is not EVIL
    async with judged(says(r"a\.evil.example 60 A 192.0.2.1"), policy=policy) as made:
        answer = answer_to(query, await made.udp(query.to_wire()))
        assert (answer.rcode() == REFUSED) is is_denied


NAMES = st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=6).map(
    lambda labels: dns.name.Name((*labels, b""))
)


@settings(max_examples=500)
@given(NAMES)
def test_a_name_is_asked_for_by_the_labels_that_were_judged(name: dns.name.Name) -> None:
    query = parse(dns.message.make_query(name, "A").to_wire())
    assert query is not None
    assert address_query(query.name).question[0].name == name


@settings(max_examples=500)
@given(NAMES)
def test_what_ends_in_denied_labels_is_denied(name: dns.name.Name) -> None:
    below = dns.name.Name((*name.labels[:-1], b"eViL", b"EXAMPLE", b""))
    query = parse(dns.message.make_query(below, "A").to_wire())
    assert query is not None
    assert EVIL.judge_name(query.name) != Policy().judge_name(query.name)


async def test_an_octet_beyond_ascii_is_no_letter() -> None:
    """It is not converted: xn--bcher-kva.example would be another name, perhaps a denied one."""
    query = dns.message.make_query(dns.name.Name((b"b\xfccher", b"example", b"")), "A")
    async with judged(says(rcode=dns.rcode.NXDOMAIN)) as made:
        answer_to(query, await made.udp(query.to_wire()))
        assert made.upstream.asked[0].message.question[0].name == query.question[0].name


# What is said of a refusal: RFC 8914.


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (Policy(deny=["*.example"]), (15, "*.example")),
        (
            Policy(deny=[Rule.parse("www.example", reason="no secrets")]),
            (15, "www.example (no secrets)"),
        ),
        (Policy(allow=["other.example"]), (17, "no allow rule matches")),
    ],
)
@pytest.mark.parametrize("rdtype", ["A", "AAAA", "TXT"])
async def test_a_refusal_says_why(policy: Policy, told: tuple[int, str], rdtype: str) -> None:
    async with judged(ADDRESS, policy=policy) as made:
        answer = await made.ask(rdtype=rdtype, use_edns=0)
        assert (answer.rcode(), explanations(answer)) == (REFUSED, [told])
        plain = await made.ask(rdtype=rdtype)
        assert (plain.rcode(), plain.edns) == (REFUSED, -1)


async def test_a_long_reason_is_cut_at_a_character() -> None:
    policy = Policy(deny=[Rule.parse("*", reason="ä" * 1000)])
    name = dns.name.Name((b"\x00" * 63, b"\x00" * 63, b"\x00" * 63, b"\x00" * 61, b""))
    query = dns.message.make_query(name, "TXT", use_edns=0, payload=512)
    async with judged(ADDRESS, policy=policy) as made:
        wire = await made.udp(query.to_wire())
        assert len(wire) <= 512
        [(code, text)] = explanations(answer_to(query, wire))
        assert code == 15
        assert text is not None
        assert MAX_EXPLANATION - 1 <= len(text.encode()) <= MAX_EXPLANATION


# With allow rules, and in strict.


ECH = '1 . mandatory="alpn,ech,ipv4hint" alpn="h2" ipv4hint="192.0.2.1" ech="AAQBAgME"'


@pytest.mark.parametrize("rdtype", ["HTTPS", "SVCB"])
@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (Policy(), '1 . mandatory="alpn,ech" alpn="h2" ech="AAQBAgME"'),
        (Policy(allow=["www.example"]), '1 . mandatory="alpn" alpn="h2"'),
        (STRICT, '1 . mandatory="alpn" alpn="h2"'),
    ],
)
async def test_ech_is_removed_where_names_inside_are_judged(
    policy: Policy, kept: str, rdtype: str
) -> None:
    async with judged(says(f"www.example 60 {rdtype} {ECH}"), policy=policy) as made:
        assert addresses(await made.ask(rdtype=rdtype)) == [kept]


@pytest.mark.parametrize(
    ("policy", "asked"),
    [(Policy(), "wWw.exAmple."), (STRICT, "www.example.")],
)
async def test_letters_carry_nothing(policy: Policy, asked: str) -> None:
    async with judged(says("www.example 60 TXT x"), policy=policy) as made:
        assert addresses(await made.ask("wWw.exAmple", "TXT")) == ['"x"']
        assert made.upstream.asked[0].message.question[0].name.to_text() == asked


async def test_where_addresses_decide_only_addresses_are_asked_for() -> None:
    async with judged(ADDRESS, policy=Policy(allow=["192.0.2.0/24"])) as made:
        assert len(addresses(await made.ask())) == 1
        assert (await made.ask(rdtype="TXT")).rcode() == REFUSED


async def test_what_has_no_address_is_in_the_record_once() -> None:
    async with judged(says(rcode=dns.rcode.NXDOMAIN)) as made:
        for rdtype in ("A", "AAAA", "A", "TXT", "TXT"):
            await made.ask(rdtype=rdtype)
        assert made.recorded(NameForwarded) == [
            NameForwarded(name="www.example", type=rdtype) for rdtype in ("A", "TXT")
        ]


async def test_real_addresses_leave_a_line_too() -> None:
    async with judged(ADDRESS, "real") as made:
        await made.ask()
        assert made.events == [NameForwarded(name="www.example", type="A")]
