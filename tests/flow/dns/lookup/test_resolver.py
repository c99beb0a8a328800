"""The resolver against servers on loopback that answer, refuse, mumble, or say nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import dns.message
import dns.rcode
import pytest
import trio
import trio.testing

from relay.addresses import Destination
from relay.dns.lookup.errors import ResolverError
from relay.dns.lookup.resolver import Resolver, ResolverTimeouts
from relay.record.events import Event, Fault, LookupFailed, ResolverSilent, ServedStale
from relay.record.kinds import Kind
from tests.support.inprocess.fake_resolver import (
    Asked,
    FakeResolver,
    Script,
    response,
    says,
    silent,
    start,
    truncated,
)
from tests.support.pace import within

SHORT = ResolverTimeouts(server=0.05, query=0.3, stale=0.05, outage=0, failing=0)
LONG = ResolverTimeouts(server=60, query=60, stale=60, outage=0, failing=0)
SOA = "example 60 SOA ns.example. admin.example. 1 7200 900 1209600 60"
ADDRESS = says("www.example 60 A 192.0.2.1")


class Bench:
    """A resolver, its servers, what it recorded, and its time."""

    def __init__(self, nursery: trio.Nursery, timeouts: ResolverTimeouts) -> None:
        self.events: list[Event] = []
        self.servers: tuple[Destination, ...] = ()
        self.now = 0.0
        self.resolver = Resolver(
            lambda: self.servers,
            self.events.append,
            nursery,
            timeouts,
            lambda: self.now,
        )

    async def ipv4_addresses(self, name: str, *, fresh: bool = False) -> list[str]:
        return list((await self.resolver.addresses(name, fresh=fresh)).addresses)

    def recorded(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


async def bench(
    nursery: trio.Nursery, *scripts: Script, timeouts: ResolverTimeouts = LONG
) -> tuple[Bench, list[FakeResolver]]:
    made = Bench(nursery, timeouts)
    servers = [await start(nursery, script) for script in scripts]
    made.servers = tuple(server.server for server in servers)
    return made, servers


@contextmanager
def closed_port() -> Iterator[Destination]:
    """Hold a TCP port, so that no UDP socket of this test gets its number."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield Destination(*holder.getsockname())


def question(rdtype: str = "MX", **options: int) -> dns.message.QueryMessage:
    return dns.message.make_query("www.example", rdtype, **options)  # type: ignore[arg-type]


# One query, several servers.


async def test_an_answer(nursery: trio.Nursery) -> None:
    made, _ = await bench(nursery, says("www.example 60 MX 10 mail.example."))
    query = question()
    answer = await made.resolver.query(query)
    assert query.is_response(answer)
    assert answer.answer[0].to_text() == "www.example. 60 IN MX 10 mail.example."
    assert made.events == []


async def test_nxdomain_is_an_answer(nursery: trio.Nursery) -> None:
    made, [_, second] = await bench(nursery, says(rcode=dns.rcode.NXDOMAIN), ADDRESS)
    assert (await made.resolver.query(question())).rcode() == dns.rcode.NXDOMAIN
    assert second.asked == []


@pytest.mark.parametrize(
    "rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR, dns.rcode.NOTIMP]
)
async def test_a_failure_moves_on_at_once(nursery: trio.Nursery, rcode: dns.rcode.Rcode) -> None:
    made, [first, _] = await bench(nursery, says(rcode=rcode), ADDRESS)
    assert (await made.resolver.query(question("A"))).answer
    cause = f"answered {dns.rcode.to_text(rcode)}"
    kind = Kind.NAME_FAILURE
    assert made.events == [ResolverSilent(server=str(first.server), kind=kind, cause=cause)]


async def test_icmp_refused_moves_on_at_once(nursery: trio.Nursery) -> None:
    made, [second] = await bench(nursery, ADDRESS)
    with closed_port() as closed:
        made.servers = (
            closed,
            second.server,
        )
        assert (await made.resolver.query(question("A"))).answer
    cause = "Connection refused"
    assert made.events == [ResolverSilent(server=str(closed), kind=Kind.REFUSED, cause=cause)]


async def garbage(asked: Asked) -> None:
    await asked.send(asked.message.to_wire()[:2] + b"\x80\x00\xff\xff garbage")


async def other_question(asked: Asked) -> None:
    query = dns.message.make_query("other.example", "A", id=asked.message.id)
    await asked.send(response(query).to_wire())


async def other_opcode(asked: Asked) -> None:
    answer = bytearray(response(asked.message).to_wire())
    answer[2] |= 4 << 3
    await asked.send(bytes(answer))


@pytest.mark.parametrize("script", [garbage, other_question, other_opcode])
async def test_a_malformed_answer_moves_on_at_once(nursery: trio.Nursery, script: Script) -> None:
    made, _ = await bench(nursery, script, ADDRESS)
    assert (await made.resolver.query(question("A"))).answer
    [event] = made.events
    assert isinstance(event, ResolverSilent)
    assert event.cause.startswith("malformed answer: ")
    assert event.kind is Kind.MALFORMED


async def test_a_silent_server_is_passed_by(nursery: trio.Nursery) -> None:
    timeouts = ResolverTimeouts(server=0.05, query=60, outage=0, failing=0)
    made, [first, _] = await bench(nursery, silent, ADDRESS, timeouts=timeouts)
    assert (await made.resolver.query(question("A"))).answer
    assert (await made.resolver.query(question("A"))).answer
    silence = ResolverSilent(
        server=str(first.server), kind=Kind.TIMEOUT, cause="no answer in 0.05 s"
    )
    assert made.events == [silence], "recorded once"


async def test_a_late_answer_still_wins(nursery: trio.Nursery) -> None:
    second_asked = trio.Event()

    async def late(asked: Asked) -> None:
        await second_asked.wait()
        await ADDRESS(asked)

    async def second(_asked: Asked) -> None:
        second_asked.set()

    timeouts = ResolverTimeouts(server=0.05, query=60, outage=0, failing=0)
    made, _ = await bench(nursery, late, second, timeouts=timeouts)
    assert (await made.resolver.query(question("A"))).answer


async def test_a_server_that_recovers_and_fails_again_is_recorded_again(
    nursery: trio.Nursery,
) -> None:
    made, [server] = await bench(nursery, ADDRESS)
    for _ in range(2):
        server.script = says(rcode=dns.rcode.SERVFAIL)
        with pytest.raises(ResolverError):
            await made.resolver.query(question("A"))
        server.script = ADDRESS
        assert (await made.resolver.query(question("A"))).answer
    assert len(made.recorded(ResolverSilent)) == 2


async def test_a_lost_datagram_is_sent_again(nursery: trio.Nursery) -> None:
    async def second_time(asked: Asked) -> None:
        if len(server.asked) > 1:
            await ADDRESS(asked)

    timeouts = ResolverTimeouts(server=0.05, query=60, outage=0, failing=0)
    made, [server] = await bench(nursery, second_time, timeouts=timeouts)
    assert (await made.resolver.query(question("A"))).answer
    assert len({asked.peer for asked in server.asked}) == 1, "from the same socket"


async def test_foreign_answers_are_ignored(nursery: trio.Nursery) -> None:
    async def script(asked: Asked) -> None:
        right = response(asked.message, "www.example 60 A 192.0.2.1").to_wire()
        wrong = response(asked.message, "www.example 60 A 192.0.2.66").to_wire()
        with trio.socket.socket(type=socket.SOCK_DGRAM) as stranger:
            await stranger.sendto(wrong, asked.peer)
        await asked.send(bytes([wrong[0] ^ 1]) + wrong[1:])
        await asked.send(b"")
        await asked.send(right)

    made, _ = await bench(nursery, script)
    assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    assert made.events == []


async def test_all_fail(nursery: trio.Nursery) -> None:
    made, [first, second] = await bench(
        nursery, says(rcode=dns.rcode.SERVFAIL), silent, timeouts=SHORT
    )
    with pytest.raises(ResolverError) as caught:
        await made.resolver.query(question())
    cause = f"{first.server}: answered SERVFAIL; {second.server}: no answer in 0.3 s"
    assert str(caught.value) == cause
    kind = Kind.NAME_FAILURE
    assert made.recorded(LookupFailed) == [
        LookupFailed(name="www.example", type="MX", kind=kind, cause=cause)
    ]


async def test_no_server(nursery: trio.Nursery) -> None:
    made, _ = await bench(nursery)
    with pytest.raises(ResolverError, match="no IPv4 name server"):
        await made.resolver.query(question())


async def test_a_fault_costs_one_servers_answer_and_is_recorded(nursery: trio.Nursery) -> None:
    made, (server,) = await bench(nursery, says("www.example 60 MX 10 mail.example."))
    made.servers = (Destination("not an address", 53), server.server)
    answer = await made.resolver.query(question())
    assert answer.rcode() is dns.rcode.NOERROR
    (fault,) = made.recorded(Fault)
    assert isinstance(fault, Fault)
    assert (fault.where, fault.error, fault.saw) == ("question to a resolver", "gaierror", "")


async def test_a_fault_of_the_only_server_is_no_outage(nursery: trio.Nursery) -> None:
    made, _ = await bench(nursery)
    made.servers = (Destination("not an address", 53),)
    for name in ("www.example", "api.example"):
        with pytest.raises(ResolverError, match="a defect: gaierror") as caught:
            await made.resolver.addresses(name)
        assert caught.value.kind is Kind.DEFECT


# EDNS and TCP.


@pytest.mark.parametrize("rcode", [dns.rcode.FORMERR, dns.rcode.NOTIMP])
async def test_a_server_without_edns(nursery: trio.Nursery, rcode: dns.rcode.Rcode) -> None:
    async def script(asked: Asked) -> None:
        plain = asked.message.edns < 0
        await (ADDRESS if plain else says(rcode=rcode))(asked)

    made, [server] = await bench(nursery, script)
    query = question("A", use_edns=0)
    assert (await made.resolver.query(query)).answer
    assert [asked.message.edns for asked in server.asked] == [0, -1]
    assert query.edns == 0
    assert made.events == []


MANY = tuple(f"www.example 60 TXT {'x' * 200}{i}" for i in range(20))


async def test_four_kilobytes_by_tcp(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, truncated(says(*MANY)))
    answer = await made.resolver.query(question("TXT"))
    assert len(answer.to_wire()) > 4000
    assert [asked.tcp for asked in server.asked] == [False, True]


@pytest.mark.parametrize("answer", [b"short", b"\xff" * 20])
async def test_a_malformed_answer_by_tcp(nursery: trio.Nursery, answer: bytes) -> None:
    async def script(asked: Asked) -> None:
        await asked.send(answer)

    made, _ = await bench(nursery, truncated(script))
    with pytest.raises(ResolverError, match="malformed answer"):
        await made.resolver.query(question())


async def test_tcp_closed_without_an_answer(nursery: trio.Nursery) -> None:
    async def script(asked: Asked) -> None:
        await asked.hang_up()

    made, _ = await bench(nursery, truncated(script))
    with pytest.raises(ResolverError, match="closed the connection without an answer"):
        await made.resolver.query(question())


# Addresses: chains, the cache, sharing.


async def test_addresses_and_chain(nursery: trio.Nursery) -> None:
    made, _ = await bench(
        nursery, says("www.example 90 CNAME x.example.", "x.example 20 A 192.0.2.1")
    )
    found = await made.resolver.addresses("WWW.example.")
    assert (found.addresses, found.ttl, len(found.chain)) == (("192.0.2.1",), 20, 1)


async def test_a_name_with_odd_letters(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, says())
    assert await made.ipv4_addresses(r"a\.b\000\255 c.example") == []
    assert server.asked[0].message.question[0].name.labels[0] == b"a.b\0\xff c"


async def test_what_is_no_name_is_not_asked(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, ADDRESS)
    with pytest.raises(ResolverError, match="not a name"):
        await made.resolver.addresses("a..b")
    assert server.asked == []


async def test_the_cache_lasts_as_long_as_the_ttl(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, ADDRESS)
    for now, asked in [(0, 1), (59, 1), (60, 2)]:
        made.now = now
        assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
        assert len(server.asked) == asked


async def test_fresh_asks_again(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, ADDRESS)
    await made.ipv4_addresses("www.example")
    server.script = says("www.example 60 A 192.0.2.2")
    assert await made.ipv4_addresses("www.example", fresh=True) == ["192.0.2.2"]
    assert await made.ipv4_addresses("www.example") == ["192.0.2.2"]


async def test_other_servers_are_asked_again(nursery: trio.Nursery) -> None:
    made, [first, second] = await bench(nursery, ADDRESS, says("www.example 60 A 192.0.2.2"))
    made.servers = (first.server,)
    assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    made.servers = (second.server,)
    assert await made.ipv4_addresses("www.example") == ["192.0.2.2"]


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
async def test_a_negative_answer_is_cached_by_its_soa(
    nursery: trio.Nursery, rcode: dns.rcode.Rcode
) -> None:
    made, [server] = await bench(nursery, says(rcode=rcode, authority=(SOA,)))
    for now, asked in [(0, 1), (59, 1), (61, 2)]:
        made.now = now
        assert (await made.resolver.addresses("www.example")).rcode == rcode
        assert len(server.asked) == asked


async def test_a_failure_is_not_cached_for_long(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, says(rcode=dns.rcode.SERVFAIL))
    with pytest.raises(ResolverError, match="SERVFAIL"):
        await made.resolver.addresses("www.example")
    assert len(made.recorded(LookupFailed)) == 1
    server.script = ADDRESS
    made.now = 6
    assert (await made.resolver.addresses("www.example")).addresses == ("192.0.2.1",)


async def test_a_contradiction_is_a_failure(nursery: trio.Nursery) -> None:
    made, _ = await bench(nursery, says("www.example 60 CNAME www.example."))
    with pytest.raises(ResolverError):
        await made.resolver.addresses("www.example")
    assert len(made.recorded(LookupFailed)) == 1


async def test_one_query_for_all_who_ask(nursery: trio.Nursery) -> None:
    go = trio.Event()

    async def script(asked: Asked) -> None:
        await go.wait()
        await ADDRESS(asked)

    made, [server] = await bench(nursery, script)
    found: list[list[str]] = []

    async def ask() -> None:
        found.append(await made.ipv4_addresses("www.example"))

    async with trio.open_nursery() as askers:
        async with trio.open_nursery() as impatient:
            impatient.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(3):
                askers.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
        go.set()
    assert found == [["192.0.2.1"]] * 3
    assert len(server.asked) == 1


# Outages: RFC 8767.


async def test_a_stale_answer_when_all_fail(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, ADDRESS)
    await made.resolver.addresses("www.example")
    made.now = 1e6
    server.script = says(rcode=dns.rcode.SERVFAIL)
    for _ in range(2):
        found = await made.resolver.addresses("www.example")
        assert (found.addresses, found.ttl) == (("192.0.2.1",), 30)
    cause = f"{server.server}: answered SERVFAIL"
    kind = Kind.NAME_FAILURE
    assert made.recorded(ServedStale) == [ServedStale(name="www.example", kind=kind, cause=cause)]
    assert made.recorded(LookupFailed) == []


async def test_a_stale_answer_in_silence_while_the_lookup_goes_on(nursery: trio.Nursery) -> None:
    go = trio.Event()

    async def late(asked: Asked) -> None:
        await go.wait()
        await says("www.example 60 A 192.0.2.2")(asked)

    timeouts = ResolverTimeouts(server=60, query=60, stale=0.02, outage=0, failing=0)
    made, [server] = await bench(nursery, ADDRESS, timeouts=timeouts)
    await made.resolver.addresses("www.example")
    made.now = 1000
    server.script = late
    assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    assert len(made.recorded(ServedStale)) == 1
    go.set()
    with trio.fail_after(10):
        while made.resolver.cached("www.example") is None:
            await trio.lowlevel.checkpoint()
    assert await made.ipv4_addresses("www.example") == ["192.0.2.2"]


async def test_no_stale_answer_after_a_denial(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, ADDRESS)
    await made.resolver.addresses("www.example")
    made.now = 1000
    server.script = says(rcode=dns.rcode.NXDOMAIN, authority=(SOA,))
    assert await made.ipv4_addresses("www.example") == []
    made.now = 2000
    server.script = says(rcode=dns.rcode.SERVFAIL)
    with pytest.raises(ResolverError):
        await made.resolver.addresses("www.example")
    assert len(made.recorded(LookupFailed)) == 1


# The first lookup of a name in an outage.

HOLDING = ResolverTimeouts(server=0.05, query=0.1, outage=60, failing=60, pause=0.01)


def times(count: int, first: Script, then: Script) -> Script:
    """Follow one script for the first queries, then another."""
    asked_so_far = 0

    async def script(asked: Asked) -> None:
        nonlocal asked_so_far
        asked_so_far += 1
        await (first if asked_so_far <= count else then)(asked)

    return script


@pytest.mark.parametrize("trouble", [silent, says(rcode=dns.rcode.SERVFAIL)])
async def test_a_name_never_seen_is_held_until_the_resolver_is_back(
    nursery: trio.Nursery, trouble: Script
) -> None:
    made, _ = await bench(nursery, times(7, trouble, ADDRESS), timeouts=HOLDING)
    with trio.fail_after(10):
        assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    assert made.recorded(LookupFailed) == []


@pytest.mark.parametrize(
    ("trouble", "limit"), [(silent, 60.0), (says(rcode=dns.rcode.SERVFAIL), 30.0)]
)
async def test_an_outage_is_held_longer_than_a_failure(
    nursery: trio.Nursery, trouble: Script, limit: float
) -> None:
    timeouts = ResolverTimeouts(server=0.05, query=0.1, outage=60, failing=30, pause=0.01)
    made, [server] = await bench(nursery, trouble, timeouts=timeouts)
    asked_at_limit = 0

    async def pass_time() -> None:
        nonlocal asked_at_limit
        while not server.asked:
            await trio.lowlevel.checkpoint()
        made.now = limit - 1
        while len(server.asked) < 5:  # rounds go on
            await trio.lowlevel.checkpoint()
        made.now = limit
        asked_at_limit = len(server.asked)

    nursery.start_soon(pass_time)
    with pytest.raises(ResolverError), trio.fail_after(10):
        await made.ipv4_addresses("www.example")
    assert asked_at_limit > 0
    assert len(made.recorded(LookupFailed)) == 1


async def test_a_failure_is_told_again_at_once_for_a_while(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, says(rcode=dns.rcode.SERVFAIL), timeouts=SHORT)
    for _ in range(5):  # as often as libc asks
        with pytest.raises(ResolverError, match="answered SERVFAIL"):
            await made.resolver.addresses("www.example")
    assert len(server.asked) == 1
    assert len(made.recorded(LookupFailed)) == 1
    made.now = 6
    with pytest.raises(ResolverError):
        await made.resolver.addresses("www.example")
    assert len(server.asked) == 2


async def test_a_failure_is_forgotten_when_the_resolvers_change(nursery: trio.Nursery) -> None:
    made, [bad, good] = await bench(
        nursery, says(rcode=dns.rcode.SERVFAIL), ADDRESS, timeouts=SHORT
    )
    made.servers = (bad.server,)
    with pytest.raises(ResolverError):
        await made.resolver.addresses("www.example")
    made.servers = (good.server,)
    assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]


async def test_after_a_failed_refresh_nobody_waits_for_the_next(nursery: trio.Nursery) -> None:
    timeouts = ResolverTimeouts(server=0.05, query=0.05, stale=60, outage=0, failing=0)
    made, _ = await bench(nursery, times(1, ADDRESS, silent), timeouts=timeouts)
    await made.resolver.addresses("www.example")
    made.now = 100
    await made.resolver.addresses("www.example")  # waits for the refresh, which fails
    began = trio.current_time()
    for _ in range(3):
        assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    assert within(trio.current_time() - began, 0.05)
