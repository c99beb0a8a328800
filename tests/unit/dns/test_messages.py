"""Answers for the namespace, from bytes to bytes."""

import struct
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dns import messages
from relay.dns.local import local_answer, minimal_any
from relay.dns.lookup.cache import Lookup, from_answer
from relay.dns.messages import Query, QueryError, parse
from relay.dns.synthetic import SyntheticAddresses
from relay.policy.host_ports import HostItself
from tests.support.packets import PACKETS, mutated, wire

SOA = "example. 60 IN SOA ns.example. admin.example. 1 7200 900 1209600 60"


def query(name: str = "www.example", rdtype: str = "A", **options: Any) -> Query:
    parsed = parse(wire(name, rdtype, **options))
    assert parsed is not None
    return parsed


def upstream(
    rdtype: str = "A",
    answer: tuple[str, ...] = (),
    authority: tuple[str, ...] = (),
    additional: tuple[str, ...] = (),
    rcode: str = "NOERROR",
) -> dns.message.QueryMessage:
    lines = ["id 1", "opcode QUERY", f"rcode {rcode}", "flags QR AA RD RA AD", ";QUESTION"]
    lines += [f"www.example. IN {rdtype}", ";ANSWER", *answer, ";AUTHORITY", *authority]
    message = dns.message.from_text("\n".join([*lines, ";ADDITIONAL", *additional]))
    assert isinstance(message, dns.message.QueryMessage)
    return message


def lookup(*answer: str, **options: Any) -> Lookup:
    return from_answer(upstream(answer=answer, **options))


def refusal(data: bytes) -> dns.message.Message:
    with pytest.raises(QueryError) as caught:
        parse(data)
    response = dns.message.from_wire(caught.value.response)
    assert dns.rcode.to_text(response.rcode()) == str(caught.value)
    return response


def sent(
    asked: Query, response: dns.message.Message, *, tcp: bool = False
) -> dns.message.QueryMessage:
    message = dns.message.from_wire(messages.to_wire(asked, response, tcp=tcp))
    assert isinstance(message, dns.message.QueryMessage)
    assert asked.message.is_response(message)
    return message


def texts(section: list[dns.rrset.RRset]) -> list[str]:
    return [line for rrset in section for line in rrset.to_text().split("\n")]


# Parsing: a query, nothing, or an error to be sent.


def test_a_query_and_its_canonical_name() -> None:
    parsed = query("WWW.Example", "HTTPS")
    assert (parsed.name, parsed.type_name) == ("www.example", "HTTPS")
    assert parsed.owner.to_text() == "WWW.Example."


@pytest.mark.parametrize("data", [b"", bytes(11), wire()[:2] + b"\x80" + wire()[3:]])
def test_no_header_or_a_response_is_not_answered(data: bytes) -> None:
    assert parse(data) is None


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 15])
def test_another_opcode(opcode: int) -> None:
    response = refusal(struct.pack("!HHHHHH", 77, opcode << 11 | 0x0110, 0, 0, 0, 0))
    assert (response.id, response.rcode(), response.opcode()) == (77, dns.rcode.NOTIMP, opcode)
    assert response.flags & dns.flags.RD
    assert response.flags & dns.flags.CD


@pytest.mark.parametrize("questions", [0, 2, 65535])
def test_not_exactly_one_question(questions: int) -> None:
    response = refusal(struct.pack("!HHHHHH", 77, 0, questions, 0, 0, 0) + wire()[12:])
    assert (response.id, response.rcode()) == (77, dns.rcode.FORMERR)


@pytest.mark.parametrize(
    "data",
    [
        wire()[:-1],
        wire() + b"junk",
        wire()[:12] + b"\xc0\x0c" + wire()[12:],
        wire(use_edns=0)[:-2] + b"\x00\x09",
    ],
)
def test_a_broken_query(data: bytes) -> None:
    response = refusal(data)
    assert (response.id, response.rcode()) == (int.from_bytes(data[:2], "big"), dns.rcode.FORMERR)


@pytest.mark.parametrize("rdclass", [dns.rdataclass.CH, dns.rdataclass.HS, dns.rdataclass.ANY])
def test_another_class(rdclass: dns.rdataclass.RdataClass) -> None:
    response = refusal(wire("version.bind", "TXT", rdclass=rdclass))
    assert response.rcode() == dns.rcode.REFUSED
    assert len(response.question) == 1


@pytest.mark.parametrize("rdtype", ["AXFR", "IXFR", "MAILB", "TKEY", "TSIG", "OPT", "TYPE0"])
def test_transfers_and_meta_types(rdtype: str) -> None:
    assert refusal(wire(rdtype=rdtype)).rcode() == dns.rcode.REFUSED


def test_a_later_edns_version() -> None:
    response = refusal(wire(use_edns=1))
    assert response.rcode() == dns.rcode.BADVERS
    assert response.edns == 0


# What every answer has.


@pytest.mark.parametrize(
    ("rcode", "passed_on"),
    [
        (dns.rcode.SERVFAIL, dns.rcode.SERVFAIL),
        (dns.rcode.REFUSED, dns.rcode.REFUSED),
        (15, 15),
        (dns.rcode.BADCOOKIE, dns.rcode.SERVFAIL),
    ],
)
def test_a_failure_has_the_resolvers_code_if_the_header_can_hold_it(
    rcode: int, passed_on: int
) -> None:
    asked = query()
    response = sent(asked, messages.failure(asked, rcode))
    assert (response.rcode(), response.edns) == (passed_on, -1)


def test_header_bits() -> None:
    flags = dns.flags.CD | dns.flags.AD
    asked = query(id=4711, flags=flags)
    response = sent(asked, messages.reply(asked, dns.rcode.SERVFAIL))
    assert (response.id, response.rcode()) == (4711, dns.rcode.SERVFAIL)
    assert response.flags & 0x0FF0 == dns.flags.RA | dns.flags.CD
    assert response.question == asked.message.question
    asked = query(flags=dns.flags.RD)
    response = sent(asked, messages.reply(asked, dns.rcode.NOERROR))
    assert response.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA


def test_opt_only_for_opt_and_do_for_do() -> None:
    asked = query()
    assert sent(asked, messages.reply(asked, dns.rcode.REFUSED)).edns == -1
    asked = query(use_edns=0, payload=4096)
    response = sent(asked, messages.reply(asked, dns.rcode.REFUSED))
    assert (response.edns, response.payload, response.ednsflags) == (0, 1232, 0)
    asked = query(want_dnssec=True, pad=468)
    response = sent(asked, messages.reply(asked, dns.rcode.REFUSED))
    assert response.ednsflags == dns.flags.DO
    assert response.options == ()


@pytest.mark.parametrize(
    ("options", "tcp", "fits"),
    [
        ({}, False, 30),
        ({"payload": 100}, False, 29),
        ({"payload": 1232}, False, 74),
        ({"payload": 65535}, False, 4000),
        ({}, True, 4000),
    ],
)
def test_truncation_leaves_no_record(options: dict[str, Any], tcp: bool, fits: int) -> None:
    asked = query(**options)
    for count, truncated in [(fits, False), (fits * 3 // 2, True)]:
        addresses = [f"192.0.{i // 256}.{i % 256}" for i in range(count)]
        found = lookup("www.example. 60 IN A 192.0.2.1")
        response = sent(asked, messages.addresses(asked, found, addresses), tcp=tcp)
        assert bool(response.flags & dns.flags.TC) is truncated
        assert response.section_count("ANSWER") == (0 if truncated else count)
        assert response.edns == asked.message.edns


def test_the_question_upstream() -> None:
    options = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"a cookie")]
    asked = query("WWW.example", "MX", want_dnssec=True, options=options, flags=dns.flags.CD)
    ours = messages.upstream_query(asked)
    assert ours.question == asked.message.question
    assert ours.flags == dns.flags.CD
    assert (ours.edns, ours.payload, ours.ednsflags) == (0, 1232, dns.flags.DO)
    assert ours.options == ()


# A and AAAA.


def test_a_chain_ends_with_the_given_address() -> None:
    asked = query("WWW.example")
    found = lookup("www.example. 90 IN CNAME x.example.", "x.example. 20 IN A 192.0.2.1")
    response = sent(asked, messages.addresses(asked, found, ["198.18.1.0"]))
    assert texts(response.answer) == [
        "WWW.example. 20 IN CNAME x.example.",
        "x.example. 20 IN A 198.18.1.0",
    ]


def test_real_addresses_keep_their_order() -> None:
    asked = query()
    found = lookup("www.example. 20 IN A 192.0.2.7", "www.example. 20 IN A 192.0.2.1")
    response = sent(asked, messages.addresses(asked, found, found.addresses))
    assert texts(response.answer) == [
        "www.example. 20 IN A 192.0.2.7",
        "www.example. 20 IN A 192.0.2.1",
    ]


@pytest.mark.parametrize("rcode", ["NOERROR", "NXDOMAIN"])
def test_no_address_is_nodata_or_nxdomain_with_soa(rcode: str) -> None:
    found = lookup("www.example. 30 IN CNAME x.example.", authority=(SOA,), rcode=rcode)
    asked = query()
    response = sent(asked, messages.addresses(asked, found, ()))
    assert dns.rcode.to_text(response.rcode()) == rcode
    assert texts(response.answer) == ["www.example. 30 IN CNAME x.example."]
    assert texts(response.authority) == [SOA.replace("60", "30", 1)]
    asked = query(rdtype="AAAA")
    response = sent(asked, messages.no_addresses(asked, found))
    assert dns.rcode.to_text(response.rcode()) == rcode
    assert response.section_count("ANSWER") == 0
    assert response.section_count("AUTHORITY") == 1


def test_aaaa_of_a_name_with_addresses_is_nodata() -> None:
    asked = query(rdtype="AAAA")
    response = sent(asked, messages.no_addresses(asked, lookup("www.example. 20 IN A 192.0.2.7")))
    assert response.rcode() == dns.rcode.NOERROR
    assert not any(response.sections[1:])


# Answers that no resolver is asked for.

HOST = HostItself("198.18.0.2", ("host.internal", "host.docker.internal"))


@pytest.mark.parametrize("name", ["host.docker.internal", "Host.Internal."])
@pytest.mark.parametrize(
    ("rdtype", "value"),
    [("A", "198.18.0.2"), ("AAAA", None), ("ANY", '"RFC8482" ""'), ("MX", None)],
)
def test_the_host_by_its_names(name: str, rdtype: str, value: str | None) -> None:
    asked = query(name, rdtype)
    answer = local_answer(asked, SyntheticAddresses.of(), HOST)
    assert answer is not None
    response = sent(asked, answer)
    assert response.rcode() == dns.rcode.NOERROR
    assert [str(rdata) for rrset in response.answer for rdata in rrset] == [value] * bool(value)


@pytest.mark.parametrize("name", ["localhost", "LocalHost.", "app.localhost"])
@pytest.mark.parametrize(
    ("rdtype", "value"),
    [("A", "127.0.0.1"), ("AAAA", "::1"), ("ANY", '"RFC8482" ""'), ("MX", None)],
)
def test_localhost(name: str, rdtype: str, value: str | None) -> None:
    asked = query(name, rdtype)
    answer = local_answer(asked, SyntheticAddresses.of(), HOST)
    assert answer is not None
    response = sent(asked, answer)
    assert response.rcode() == dns.rcode.NOERROR
    assert [str(rdata) for rrset in response.answer for rdata in rrset] == [value] * bool(value)


def test_ptr_of_our_own_addresses() -> None:
    names = SyntheticAddresses.of()
    address = names.assign(r"odd\.\200.example", 0).address
    for reverse, rcode, expected in [
        (dns.reversename.from_address(address).to_text(), "NOERROR", r"odd\.\200.example."),
        ("1.1.18.198.in-addr.arpa", "NXDOMAIN", None),
        ("1.0.0.127.in-addr.arpa", "NOERROR", "localhost."),
        ("2.0.18.198.in-addr.arpa", "NOERROR", "host.internal."),
    ]:
        asked = query(reverse, "PTR")
        answer = local_answer(asked, names, HOST)
        assert answer is not None
        response = sent(asked, answer)
        assert dns.rcode.to_text(response.rcode()) == rcode
        assert [str(r) for rrset in response.answer for r in rrset] == [expected] * bool(expected)


@pytest.mark.parametrize(
    ("name", "rdtype"),
    [
        ("www.example", "A"),
        ("notlocalhost", "A"),
        ("x.host.internal", "A"),
        ("1.2.0.192.in-addr.arpa", "PTR"),
        ("18.198.in-addr.arpa", "PTR"),
        ("300.1.18.198.in-addr.arpa", "PTR"),
        ("0.1.18.198.in-addr.arpa", "TXT"),
        ("1" + ".0" * 31 + ".ip6.arpa", "PTR"),
        ("_http._tcp.example", "PTR"),
    ],
)
def test_everything_else_is_not_ours(name: str, rdtype: str) -> None:
    assert local_answer(query(name, rdtype), SyntheticAddresses.of(), HOST) is None


def test_any() -> None:
    asked = query(rdtype="ANY")
    assert texts(sent(asked, minimal_any(asked)).answer) == [
        'www.example. 3600 IN HINFO "RFC8482" ""'
    ]


# Forwarded answers.


def test_an_innocent_answer_is_passed_on_whole() -> None:
    asked = query(rdtype="MX")
    answer = ("www.example. 60 IN MX 10 mail.example.",)
    additional = ("mail.example. 60 IN TXT hello",)
    result = messages.forwarded(asked, upstream("MX", answer, (SOA,), additional))
    assert not result.withheld
    response = sent(asked, result.response)
    assert texts(response.answer) == list(answer)
    assert texts(response.authority) == [SOA]
    assert response.section_count("ADDITIONAL") == 1
    assert not response.flags & (dns.flags.AD | dns.flags.AA)


@pytest.mark.parametrize("asks", ["AD", "DO", ""])
@pytest.mark.parametrize("is_whole", [True, False])
def test_whether_it_is_authentic_is_said_of_all_or_nothing(asks: str, is_whole: bool) -> None:
    message = dns.message.make_query("www.example", "MX", want_dnssec=asks == "DO")
    if asks == "AD":
        message.flags |= dns.flags.AD
    asked = messages.parse(message.to_wire())
    assert asked is not None
    assert bool(messages.upstream_query(asked).flags & dns.flags.AD) is (asks == "AD")
    glue = () if is_whole else ("mail.example. 60 IN A 192.0.2.1",)
    answer = upstream("MX", ("www.example. 60 IN MX 10 mail.example.",), (), glue)
    answer.flags |= dns.flags.AD
    response = sent(asked, messages.forwarded(asked, answer).response)
    assert bool(response.flags & dns.flags.AD) is (is_whole and bool(asks))


def test_edns_is_asked_for_if_the_program_does() -> None:
    for edns in (-1, 0):
        message = dns.message.make_query("www.example", "MX", use_edns=edns)
        asked = messages.parse(message.to_wire())
        assert asked is not None
        assert messages.upstream_query(asked).edns == edns


def test_an_upstream_nxdomain_stays_one() -> None:
    asked = query(rdtype="MX")
    result = messages.forwarded(asked, upstream("MX", (), (SOA,), rcode="NXDOMAIN"))
    assert sent(asked, result.response).rcode() == dns.rcode.NXDOMAIN


def test_glue_and_ipv6_are_removed_with_their_signatures() -> None:
    signature = "A 8 2 60 20300101000000 20200101000000 1 example. AAAA"
    asked = query(rdtype="SRV")
    result = messages.forwarded(
        asked,
        upstream(
            "SRV",
            ("www.example. 60 IN SRV 0 0 1 a.example.", "a.example. 60 IN AAAA 2001:db8::1"),
            ("b.example. 60 IN AAAA 2001:db8::1",),
            (
                "a.example. 60 IN A 192.0.2.1",
                f"a.example. 60 IN RRSIG {signature}",
                f"a.example. 60 IN RRSIG A{signature.replace(' ', 'AA ', 1)}",
                "a.example. 60 IN AAAA 2001:db8::1",
            ),
        ),
    )
    assert result.withheld
    response = sent(asked, result.response)
    assert texts(response.answer) == ["www.example. 60 IN SRV 0 0 1 a.example."]
    assert not response.authority
    assert not response.additional


@pytest.mark.parametrize("rdtype", ["HTTPS", "SVCB"])
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('1 . alpn="h2" ipv4hint="192.0.2.1" ipv6hint="2001:db8::1"', '1 . alpn="h2"'),
        ('1 . mandatory="alpn,ipv4hint" alpn="h2" ipv4hint="192.0.2.1"', None),
        ('1 . mandatory="ipv4hint,ipv6hint" ipv4hint="192.0.2.1" ipv6hint="::1"', "1 ."),
        ("0 other.example.", "0 other.example."),
        ('1 . alpn="h2" port="8443" key65280="x"', '1 . alpn="h2" port="8443" key65280="x"'),
    ],
)
def test_hints_are_removed(rdtype: str, given: str, kept: str | None) -> None:
    asked = query(rdtype=rdtype)
    record = f"www.example. 60 IN {rdtype} "
    result = messages.forwarded(asked, upstream(rdtype, (record + given,), (), (record + given,)))
    assert result.withheld is (given != kept)
    response = sent(asked, result.response)
    expected = record + (kept or '1 . mandatory="alpn" alpn="h2"')
    assert texts(response.answer) == [expected]
    assert texts(response.additional) == [expected]


# Whatever a program sends.


UPSTREAM = upstream(
    "HTTPS",
    ('www.example. 60 IN HTTPS 1 . mandatory="ipv4hint" ipv4hint="192.0.2.1"',),
    (SOA,),
    ("www.example. 60 IN AAAA ::1", "www.example. 60 IN A 192.0.2.1"),
).to_wire()
FOUND = lookup("www.example. 90 IN CNAME x.example.", "x.example. 20 IN A 192.0.2.1")


def answers(asked: Query) -> list[dns.message.Message]:
    """Every answer that the query could get."""
    return [
        local_answer(asked, SyntheticAddresses.of(), HOST) or minimal_any(asked),
        messages.addresses(asked, FOUND, [SyntheticAddresses.of().assign(asked.name, 0).address]),
        messages.no_addresses(asked, FOUND),
        messages.forwarded(asked, dns.message.from_wire(UPSTREAM)).response,
        messages.reply(asked, dns.rcode.SERVFAIL),
    ]


@settings(max_examples=1000)
@given(PACKETS)
def test_every_packet_is_answered_well_or_not_at_all(packet: bytes) -> None:
    try:
        parsed = parse(packet)
    except QueryError as error:
        refused = dns.message.from_wire(error.response)
    else:
        if parsed is not None:
            assert_answered(parsed)
        return
    assert refused.id == int.from_bytes(packet[:2], "big")


def assert_answered(parsed: Query) -> None:
    messages.upstream_query(parsed).to_wire()
    for answer in answers(parsed):
        sent(parsed, answer)


@settings(max_examples=1000)
@given(st.integers(min_value=0, max_value=1 << 32))
def test_a_broken_upstream_answer_is_an_error_of_the_library(seed: int) -> None:
    asked = query(rdtype="HTTPS", want_dnssec=True)
    try:
        message = dns.message.from_wire(mutated(UPSTREAM, seed), keyring=False)
    except dns.exception.DNSException:
        return
    messages.to_wire(asked, messages.forwarded(asked, message).response, tcp=True)
