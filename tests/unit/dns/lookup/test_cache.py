"""Answers to A queries: the chain, the TTL, and how long they are remembered."""

import dns.exception
import dns.message
import dns.rcode
import pytest

from relay.dns.lookup.cache import (
    MAX_FAILURES,
    MAX_NEGATIVE_TTL,
    MAX_TTL,
    Cache,
    Failures,
    Lookup,
    from_answer,
    joined,
)
from relay.dns.lookup.errors import Meaning, ResolverError
from relay.record.kinds import Kind

SOA = "example. {ttl} IN SOA ns.example. admin.example. 1 7200 900 1209600 {minimum}"


def answer(*answers: str, authority: str = "", rcode: str = "NOERROR") -> dns.message.QueryMessage:
    text = ["id 1", "opcode QUERY", f"rcode {rcode}", "flags QR RD RA", ";QUESTION"]
    text += ["www.example. IN A", ";ANSWER", *answers, ";AUTHORITY", authority, ";ADDITIONAL"]
    message = dns.message.from_text("\n".join(filter(None, text)))
    assert isinstance(message, dns.message.QueryMessage)
    return message


def lookup(*addresses: str, ttl: int = 60) -> Lookup:
    return from_answer(answer(*(f"www.example. {ttl} IN A {a}" for a in addresses)))


def test_addresses_in_order() -> None:
    found = lookup("192.0.2.2", "192.0.2.1")
    assert found.rcode == dns.rcode.NOERROR
    assert found.addresses == ("192.0.2.2", "192.0.2.1")
    assert (found.ttl, found.chain, found.soa) == (60, (), None)
    assert found.owner.to_text() == "www.example."


def test_a_chain_in_any_order_and_its_least_ttl() -> None:
    found = from_answer(
        answer(
            "c.example. 300 IN A 192.0.2.1",
            "other.example. 1 IN A 192.0.2.9",
            "b.example. 20 IN CNAME c.example.",
            "www.example. 100 IN CNAME b.example.",
        )
    )
    assert found.addresses == ("192.0.2.1",)
    assert found.owner.to_text() == "c.example."
    assert [rrset.name.to_text() for rrset in found.chain] == ["www.example.", "b.example."]
    assert found.ttl == 20


def test_a_chain_of_any_length() -> None:
    links = ["www.example. 60 IN CNAME n0.example."]
    links += [f"n{i}.example. 60 IN CNAME n{i + 1}.example." for i in range(64)]
    found = from_answer(answer(*links, "n64.example. 60 IN A 192.0.2.1"))
    assert (found.addresses, len(found.chain)) == (("192.0.2.1",), 65)


def test_an_nxdomain_has_no_addresses() -> None:
    found = from_answer(answer("www.example. 60 IN A 192.0.2.1", rcode="NXDOMAIN"))
    assert (found.rcode, found.addresses) == (dns.rcode.NXDOMAIN, ())


def test_a_chain_that_is_cut_short() -> None:
    link = "www.example. 90 IN CNAME b.example."
    assert from_answer(answer(link)).is_cut_short
    soa = SOA.format(ttl=60, minimum=60)
    assert not from_answer(answer(link, authority=soa)).is_cut_short, "b.example has no address"
    assert not from_answer(answer(link, rcode="NXDOMAIN")).is_cut_short
    assert not from_answer(answer()).is_cut_short
    assert not lookup("192.0.2.1").is_cut_short


def test_a_chain_joined() -> None:
    first = from_answer(answer("www.example. 90 IN CNAME b.example."))
    both = joined(first, lookup("192.0.2.1", ttl=60))
    assert (both.addresses, both.ttl, len(both.chain)) == (("192.0.2.1",), 60, 1)
    back = "b.example. 60 IN CNAME www.example."
    loop = joined(first, from_answer(answer("www.example. 90 IN CNAME b.example.", back)))
    assert (loop.addresses, len(loop.chain), loop.is_cut_short) == ((), 2, False)
    assert len(joined(first, first).chain) == 1


@pytest.mark.parametrize(("ttl", "minimum", "kept"), [(900, 60, 60), (30, 60, 30), (900, 900, 300)])
def test_a_negative_answer_is_kept_as_its_soa_says(ttl: int, minimum: int, kept: int) -> None:
    assert MAX_NEGATIVE_TTL == 300
    found = from_answer(answer(authority=SOA.format(ttl=ttl, minimum=minimum), rcode="NXDOMAIN"))
    assert found.rcode == dns.rcode.NXDOMAIN
    assert (found.addresses, found.ttl) == ((), kept)
    assert found.soa is not None


def test_a_negative_answer_without_soa_is_not_kept() -> None:
    assert from_answer(answer()).ttl == 0


def test_a_long_ttl_is_capped() -> None:
    assert lookup("192.0.2.1", ttl=86400).ttl == MAX_TTL


@pytest.mark.parametrize(
    "records",
    [
        ["www.example. 60 IN CNAME b.example.", "b.example. 60 IN CNAME www.example."],
        ["www.example. 60 IN CNAME www.example."],
    ],
)
def test_a_loop_of_cnames_has_no_addresses(records: list[str]) -> None:
    found = from_answer(answer(*records))
    assert (found.rcode, found.addresses) == (dns.rcode.NOERROR, ())
    assert len(found.chain) == len(records)
    assert not found.is_cut_short


@pytest.mark.parametrize(
    ("addresses", "dialable"),
    [
        (["127.0.0.1"], False),
        (["127.9.9.9", "0.0.0.0"], False),
        (["224.0.0.1", "255.255.255.255"], False),
        (["127.0.0.1", "192.0.2.1"], True),
        (["192.0.2.1"], True),
        ([], False),
    ],
)
def test_is_dialable(addresses: list[str], dialable: bool) -> None:
    assert lookup(*addresses).is_dialable is dialable


def test_the_cache_counts_down_and_then_remembers_for_an_outage() -> None:
    cache = Cache()
    found = lookup("192.0.2.1", ttl=60)
    cache.keep("www.example", found, "here", now=1000.0)
    assert cache.fresh("www.example", "here", now=1000.0) == found
    left = cache.fresh("www.example", "here", now=1059.5)
    assert left is not None
    assert left.ttl == 1
    assert cache.fresh("www.example", "here", now=1060.0) is None
    entry = cache.last_known("www.example")
    assert entry is not None
    assert entry.lookup == found


def test_the_cache_knows_nothing_of_other_names_and_other_servers() -> None:
    cache = Cache()
    cache.keep("www.example", lookup("192.0.2.1"), "here", now=0)
    assert cache.fresh("other.example", "here", now=0) is None
    assert cache.last_known("other.example") is None
    assert cache.fresh("www.example", "elsewhere", now=0) is None
    assert cache.last_known("www.example") is not None


def test_a_name_without_addresses_is_no_help_in_an_outage() -> None:
    cache = Cache()
    cache.keep("www.example", lookup("192.0.2.1"), "here", now=0)
    cache.keep("www.example", from_answer(answer(rcode="NXDOMAIN")), "here", now=1)
    assert cache.last_known("www.example") is None


def test_the_cache_is_bounded_and_forgets_the_oldest() -> None:
    cache = Cache(max_entries=2)
    for name in ["a", "b", "a", "c"]:
        cache.keep(name, lookup("192.0.2.1"), "here", now=0)
    assert [name for name in "abc" if cache.last_known(name)] == ["a", "c"]


# Failures


def refused() -> ResolverError:
    return ResolverError("answered REFUSED", Kind.NAME_FAILURE, Meaning.VERDICT, 5)


def test_a_failure_is_remembered_for_a_moment_and_for_its_servers() -> None:
    failures = Failures()
    failures.keep("a.example", refused(), "servers", 10)
    found = failures.fresh("a.example", "servers", 10.9)
    assert found is not None
    assert (str(found), found.kind, found.rcode) == ("answered REFUSED", Kind.NAME_FAILURE, 5)
    assert failures.fresh("b.example", "servers", 10.9) is None
    assert failures.fresh("a.example", "servers", 11) is None
    failures.keep("a.example", refused(), "servers", 20)
    assert failures.fresh("a.example", "other servers", 20) is None


def test_the_oldest_failure_makes_room() -> None:
    failures = Failures()
    for number in range(MAX_FAILURES):
        failures.keep(number, refused(), "servers", 10)
    failures.keep(0, refused(), "servers", 10)
    failures.keep(MAX_FAILURES, refused(), "servers", 10)
    assert failures.fresh(0, "servers", 10) is not None
    assert failures.fresh(1, "servers", 10) is None
