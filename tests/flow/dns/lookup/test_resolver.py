"""The resolver against servers on loopback that answer, refuse, mumble, or say nothing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
import trio
import trio.testing

from relay.addresses import Destination
from relay.dns.lookup.errors import ResolverError
from relay.dns.lookup.evidence import ResolverTimeouts
from relay.dns.lookup.resolver import MAX_FURTHER, Resolver
from relay.host.resolv_conf import Options
from relay.record.events import Event, LookupFailed, ResolverSilent, ServedStale
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
from tests.support.inprocess.gate import open_gate
from tests.support.pace import patience, within

SHORT = ResolverTimeouts(server=0.05, last=0.3, stale=0.05, outage=0, failing=0)
LONG = ResolverTimeouts(server=60, last=60, stale=60, outage=0, failing=0)
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
            open_gate(),
            clock=lambda: self.now,
        )

    async def ipv4_addresses(self, name: str, *, fresh: bool = False) -> list[str]:
        return list((await self.resolver.addresses(name, fresh=fresh)).addresses)

    def recorded(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[Event], count: int = 1) -> list[Event]:
        with trio.fail_after(patience(10)):
            while len(self.recorded(kind)) < count:
                await trio.lowlevel.checkpoint()
        return self.recorded(kind)


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
    timeouts = ResolverTimeouts(server=0.05, last=60, outage=0, failing=0)
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

    timeouts = ResolverTimeouts(server=0.05, last=60, outage=0, failing=0)
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
        made.now += 1
        assert (await made.resolver.query(question("A"))).answer
    assert len(made.recorded(ResolverSilent)) == 2


async def test_a_lost_datagram_is_sent_again(nursery: trio.Nursery) -> None:
    async def second_time(asked: Asked) -> None:
        if len(server.asked) > 1:
            await ADDRESS(asked)

    timeouts = ResolverTimeouts(server=0.05, last=60, outage=0, failing=0)
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
    cause = f"{first.server}: answered SERVFAIL; {second.server}: no answer in 0.6 s"
    assert str(caught.value) == cause
    kind = Kind.NAME_FAILURE
    assert await made.until(LookupFailed) == [
        LookupFailed(name="www.example", type="MX", kind=kind, cause=cause)
    ]


@pytest.mark.parametrize("trouble", [says(rcode=dns.rcode.SERVFAIL), silent])
async def test_a_failure_with_which_all_else_fails_is_a_loss(
    nursery: trio.Nursery, trouble: Script
) -> None:
    made, _ = await bench(nursery, trouble, timeouts=SHORT)
    with pytest.raises(ResolverError):
        await made.resolver.query(question())
    [event] = await made.until(LookupFailed)
    assert event.is_loss


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_a_failure_while_all_else_is_answered_is_no_loss(
    nursery: trio.Nursery, rcode: dns.rcode.Rcode
) -> None:
    made, _ = await bench(nursery, failing("www.example", says(rcode=rcode)), timeouts=SHORT)
    with pytest.raises(ResolverError):
        await made.resolver.query(question())
    [event] = await made.until(LookupFailed)
    assert not event.is_loss


async def test_no_server(nursery: trio.Nursery) -> None:
    made, _ = await bench(nursery)
    with pytest.raises(ResolverError, match="no IPv4 name server"):
        await made.resolver.query(question())


@pytest.mark.parametrize("server", ["not an address", "255.255.255.255"])
async def test_an_error_of_a_socket_is_that_questions(nursery: trio.Nursery, server: str) -> None:
    made, [second] = await bench(nursery, ADDRESS)
    made.servers = (Destination(server, 53),)
    with pytest.raises(ResolverError):
        await made.resolver.query(question())
    made.servers = (Destination(server, 53), second.server)
    assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]


async def test_a_question_that_fails_fails_again_at_once_for_a_moment(
    nursery: trio.Nursery,
) -> None:
    made, [server] = await bench(nursery, says(rcode=dns.rcode.REFUSED))
    for _ in range(5):  # as often as libc asks
        with pytest.raises(ResolverError, match="answered REFUSED") as caught:
            await made.resolver.query(question())
        assert caught.value.rcode == dns.rcode.REFUSED
    assert len(await made.until(LookupFailed)) == 1
    assert len(server.asked) == 1
    with pytest.raises(ResolverError):
        await made.resolver.query(question("TXT"))
    assert len(server.asked) == 2, "another question"
    made.now = 1
    server.script = ADDRESS
    assert (await made.resolver.query(question())).answer


async def referral(asked: Asked) -> None:
    message = response(asked.message, authority=("example 60 NS ns.example.",))
    message.flags &= ~dns.flags.RA
    await asked.send(message.to_wire())


async def test_a_referral_moves_on_at_once(nursery: trio.Nursery) -> None:
    made, _ = await bench(nursery, referral, ADDRESS)
    assert (await made.resolver.query(question("A"))).answer
    [event] = made.events
    assert isinstance(event, ResolverSilent)
    assert event.cause == "answered with a referral"


# TCP.


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


async def test_a_chain_of_any_length(nursery: trio.Nursery) -> None:
    aliases = [f"n{i}.example 60 CNAME n{i + 1}.example." for i in range(100)]
    made, [server] = await bench(nursery, truncated(says(*aliases, "n100.example 60 A 192.0.2.1")))
    found = await made.resolver.addresses("n0.example")
    assert (found.addresses, len(found.chain)) == (("192.0.2.1",), 100)
    assert [asked.tcp for asked in server.asked] == [False, True]


def link_by_link(last: int) -> Script:
    """Answer with one alias at a time, and at the end with an address."""

    async def script(asked: Asked) -> None:
        number = int(asked.message.question[0].name.labels[0][1:])
        link = f"n{number} 60 CNAME n{number + 1}."
        await (says(f"n{last} 60 A 192.0.2.1") if number == last else says(link))(asked)

    return script


async def test_a_chain_that_is_cut_short_is_followed(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, link_by_link(20))
    found = await made.resolver.addresses("n0")
    assert (found.addresses, len(found.chain), len(server.asked)) == (("192.0.2.1",), 20, 21)


async def test_a_chain_without_an_end_is_left(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, link_by_link(1000))
    found = await made.resolver.addresses("n0")
    assert (found.addresses, len(server.asked)) == ((), MAX_FURTHER + 1)


async def test_a_chain_whose_rest_is_not_answered_is_what_was_said(nursery: trio.Nursery) -> None:
    async def script(asked: Asked) -> None:
        is_first = asked.message.question[0].name.labels[0] == b"n0"
        await (link_by_link(9) if is_first else says(rcode=dns.rcode.SERVFAIL))(asked)

    made, _ = await bench(nursery, script)
    found = await made.resolver.addresses("n0")
    assert (found.addresses, len(found.chain)) == ((), 1)


async def test_a_loop_over_several_answers_has_no_addresses(nursery: trio.Nursery) -> None:
    async def script(asked: Asked) -> None:
        number = int(asked.message.question[0].name.labels[0][1:])
        await says(f"n{number} 60 CNAME n{(number + 1) % 3}.")(asked)

    made, [server] = await bench(nursery, script)
    found = await made.resolver.addresses("n0")
    assert (found.addresses, len(found.chain), len(server.asked)) == ((), 3, 3)


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

    timeouts = ResolverTimeouts(server=60, last=60, stale=0.02, outage=0, failing=0)
    made, [server] = await bench(nursery, ADDRESS, timeouts=timeouts)
    await made.resolver.addresses("www.example")
    made.now = 1000
    server.script = late
    assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    assert len(made.recorded(ServedStale)) == 1
    go.set()
    with trio.fail_after(patience(10)):
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

HOLDING = ResolverTimeouts(server=0.05, last=0.1, outage=60, failing=60, pause=0.01)


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
    with trio.fail_after(patience(10)):
        assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    assert made.recorded(LookupFailed) == []


@pytest.mark.parametrize(
    ("trouble", "limit"), [(silent, 60.0), (says(rcode=dns.rcode.SERVFAIL), 30.0)]
)
async def test_an_outage_is_held_longer_than_a_failure(
    nursery: trio.Nursery, trouble: Script, limit: float
) -> None:
    timeouts = ResolverTimeouts(server=0.05, last=0.1, outage=60, failing=30, pause=0.01)
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
    with pytest.raises(ResolverError), trio.fail_after(patience(10)):
        await made.ipv4_addresses("www.example")
    assert asked_at_limit > 0
    assert len(made.recorded(LookupFailed)) == 1


@pytest.mark.parametrize("second", [". IN NS", "www.example. IN A"])
async def test_a_resolver_that_is_slow_is_listened_to(nursery: trio.Nursery, second: str) -> None:
    """Its answer comes while something else is asked for, or the same once more."""
    is_time = trio.Event()

    async def slow(asked: Asked) -> None:
        text, port = asked.message.question[0].to_text(), asked.peer[1]
        ports.setdefault(text, port)
        if text == second and (text == ". IN NS" or port != ports[text]):
            is_time.set()
        elif text == ". IN NS":
            await says()(asked)
        elif port == ports[text]:
            await is_time.wait()
            await ADDRESS(asked)

    ports: dict[str, int] = {}
    timeouts = ResolverTimeouts(server=0.05, last=0.1, outage=3600, pause=60)
    made, _ = await bench(nursery, slow, timeouts=timeouts)
    with trio.fail_after(patience(10)):
        assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    assert made.recorded(LookupFailed) == []


async def test_the_options_of_the_host_count(nursery: trio.Nursery) -> None:
    options = [Options(rotate=True), Options(use_vc=True), Options(timeout=1, attempts=1)]
    timeouts = ResolverTimeouts(server=0.05, last=60, options=lambda: options[0])
    made, [first, second] = await bench(nursery, ADDRESS, ADDRESS, timeouts=timeouts)
    for _ in range(4):
        assert (await made.resolver.query(question("A"))).answer
    assert (len(first.asked), len(second.asked)) == (2, 2)
    options.pop(0)
    assert (await made.resolver.query(question("A"))).answer
    assert first.asked[-1].tcp
    options.pop(0)
    first.script = second.script = silent
    timeouts = ResolverTimeouts(server=0.05, last=1, options=lambda: options[0])
    made, _ = await bench(nursery, silent, timeouts=timeouts)
    with pytest.raises(ResolverError, match=r"no answer in 0\.2 s"):
        await made.resolver.query(question("A"))


async def test_a_failure_is_told_again_at_once_for_a_while(nursery: trio.Nursery) -> None:
    made, [server] = await bench(nursery, says(rcode=dns.rcode.SERVFAIL), timeouts=SHORT)
    for _ in range(5):  # as often as libc asks
        with pytest.raises(ResolverError, match="answered SERVFAIL"):
            await made.resolver.addresses("www.example")
    assert len(server.asked) == 1
    assert len(made.recorded(LookupFailed)) == 1
    made.now = 1
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
    timeouts = ResolverTimeouts(server=0.05, last=0.05, stale=60, outage=0, failing=0)
    made, _ = await bench(nursery, times(1, ADDRESS, silent), timeouts=timeouts)
    await made.resolver.addresses("www.example")
    made.now = 100
    await made.resolver.addresses("www.example")  # waits for the refresh, which fails
    began = trio.current_time()
    for _ in range(3):
        assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]
    assert within(trio.current_time() - began, 0.05)


# One name fails while others are answered.

QUICK = ResolverTimeouts(server=0.05, last=0.2, outage=3600, failing=3600)


def failing(name: str, trouble: Script) -> Script:
    """Make a script in which one name has trouble, and all others have an address."""

    async def script(asked: Asked) -> None:
        owner = asked.message.question[0].name
        if owner == dns.name.from_text(name):
            await trouble(asked)
        elif owner == dns.name.root:
            await says()(asked)
        else:
            await says(f"{owner.to_text(omit_final_dot=True)} 60 A 192.0.2.1")(asked)

    return script


async def cut_short(asked: Asked) -> None:
    await asked.hang_up()


TROUBLES = [
    pytest.param(says(rcode=dns.rcode.SERVFAIL), "answered SERVFAIL", id="SERVFAIL"),
    pytest.param(silent, "no answer in 0.2 s", id="silent"),
    pytest.param(garbage, "malformed answer", id="malformed"),
    pytest.param(referral, "answered with a referral", id="referral"),
    pytest.param(truncated(cut_short), "closed the connection", id="cut short by TCP"),
]


def names_asked(server: FakeResolver) -> list[str]:
    """Return what was asked by UDP, in order, each once however often it was sent again."""
    names = [asked.message.question[0].to_text() for asked in server.asked if not asked.tcp]
    return [name for number, name in enumerate(names) if names[number - 1 : number] != [name]]


@pytest.mark.parametrize(("trouble", "cause"), TROUBLES)
async def test_one_name_that_fails_is_no_outage(
    nursery: trio.Nursery, trouble: Script, cause: str
) -> None:
    made, [server] = await bench(nursery, failing("www.example", trouble), timeouts=QUICK)
    await made.ipv4_addresses("good.example")
    with trio.fail_after(patience(10)), pytest.raises(ResolverError, match=cause) as caught:
        await made.ipv4_addresses("www.example")
    assert caught.value.rcode == dns.rcode.SERVFAIL
    assert caught.value.cause.endswith(", while other names are answered")
    assert names_asked(server) == [
        "good.example. IN A",
        "www.example. IN A",
        "good.example. IN A",
        "www.example. IN A",
    ]
    [event] = made.recorded(LookupFailed)
    assert isinstance(event, LookupFailed)
    assert event.kind is Kind.NAME_FAILURE


@pytest.mark.parametrize(("trouble", "cause"), TROUBLES)
async def test_before_any_name_has_resolved_the_root_is_asked_for(
    nursery: trio.Nursery, trouble: Script, cause: str
) -> None:
    made, [server] = await bench(nursery, failing("www.example", trouble), timeouts=QUICK)
    with trio.fail_after(patience(10)), pytest.raises(ResolverError, match=cause):
        await made.ipv4_addresses("www.example")
    assert names_asked(server) == ["www.example. IN A", ". IN NS", "www.example. IN A"]


async def test_a_resolver_that_refuses_the_root_works(nursery: trio.Nursery) -> None:
    async def script(asked: Asked) -> None:
        is_root = asked.message.question[0].name == dns.name.root
        rcode = dns.rcode.REFUSED if is_root else dns.rcode.SERVFAIL
        await says(rcode=rcode)(asked)

    made, _ = await bench(nursery, script, timeouts=QUICK)
    with trio.fail_after(patience(10)), pytest.raises(ResolverError, match="SERVFAIL"):
        await made.ipv4_addresses("www.example")


@pytest.mark.parametrize(
    "rcode", [dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR, dns.rcode.NOTAUTH]
)
async def test_what_is_said_of_a_question_is_a_verdict_at_once(
    nursery: trio.Nursery, rcode: dns.rcode.Rcode
) -> None:
    made, [server] = await bench(nursery, says(rcode=rcode), timeouts=QUICK)
    with trio.fail_after(patience(10)), pytest.raises(ResolverError) as caught:
        await made.ipv4_addresses("www.example")
    assert caught.value.rcode == rcode
    assert names_asked(server) == ["www.example. IN A"]


async def test_a_verdict_that_is_given_again_and_again_is_recorded_once(
    nursery: trio.Nursery,
) -> None:
    made, [server] = await bench(nursery, says(rcode=dns.rcode.REFUSED), timeouts=QUICK)
    for _ in range(3):
        made.now += 1
        with trio.fail_after(patience(10)), pytest.raises(ResolverError):
            await made.ipv4_addresses("www.example")
    assert len(server.asked) == 3
    assert len(made.recorded(LookupFailed)) == 1


async def test_the_next_server_answers_what_the_first_refuses(nursery: trio.Nursery) -> None:
    made, _ = await bench(nursery, says(rcode=dns.rcode.REFUSED), ADDRESS, timeouts=QUICK)
    assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]


async def test_a_refusal_beside_a_server_that_is_silent_for_all(nursery: trio.Nursery) -> None:
    refusing = failing("www.example", says(rcode=dns.rcode.REFUSED))
    made, _ = await bench(nursery, refusing, silent, timeouts=QUICK)
    with trio.fail_after(patience(10)), pytest.raises(ResolverError) as caught:
        await made.ipv4_addresses("www.example")
    assert caught.value.rcode == dns.rcode.REFUSED


async def test_a_refusal_beside_an_outage_of_the_server_that_knows(nursery: trio.Nursery) -> None:
    timeouts = ResolverTimeouts(server=0.05, last=0.1, failing=60, pause=0.01)
    made, _ = await bench(
        nursery, says(rcode=dns.rcode.REFUSED), times(7, silent, ADDRESS), timeouts=timeouts
    )
    with trio.fail_after(patience(10)):
        assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]


async def test_many_names_that_fail_at_once_need_one_answer_to_another(
    nursery: trio.Nursery,
) -> None:
    """All fail before the probe is answered, so that each of them has its doubt."""
    failed: set[str] = set()
    all_failed = trio.Event()
    names = {f"n{number}.example" for number in range(50)}

    async def script(asked: Asked) -> None:
        owner = asked.message.question[0].name.to_text(omit_final_dot=True)
        if owner == ".":
            await all_failed.wait()
            await says()(asked)
            return
        await says(rcode=dns.rcode.SERVFAIL)(asked)
        failed.add(owner)
        if failed == names:
            all_failed.set()

    timeouts = ResolverTimeouts(server=60, last=60)
    made, [server] = await bench(nursery, script, timeouts=timeouts)

    async def fail(name: str) -> None:
        with pytest.raises(ResolverError):
            await made.ipv4_addresses(name)

    with trio.fail_after(patience(10)):
        async with trio.open_nursery() as askers:
            for name in names:
                askers.start_soon(fail, name)
    assert names_asked(server).count(". IN NS") == 1
    assert len(server.asked) == 2 * len(names) + 1


# Nobody listens.


async def test_a_resolver_that_does_not_run_is_told_at_once(nursery: trio.Nursery) -> None:
    made, _ = await bench(nursery, timeouts=QUICK)
    with closed_port() as closed:
        made.servers = (closed,)
        with trio.fail_after(patience(1)), pytest.raises(ResolverError, match="Connection refused"):
            await made.ipv4_addresses("www.example")


async def test_a_resolver_that_has_answered_may_start_again(nursery: trio.Nursery) -> None:
    timeouts = ResolverTimeouts(last=0.2, restart=60, pause=0.01)
    made, [server] = await bench(nursery, failing("none.example", silent), timeouts=timeouts)
    await made.ipv4_addresses("good.example")
    with closed_port() as closed:
        made.servers = (closed,)

        async def start_again() -> None:
            while not made.recorded(ResolverSilent):
                await trio.lowlevel.checkpoint()
            made.servers = (server.server,)

        nursery.start_soon(start_again)
        with trio.fail_after(patience(10)):
            assert await made.ipv4_addresses("www.example") == ["192.0.2.1"]


async def test_a_resolver_that_does_not_start_again_is_told(nursery: trio.Nursery) -> None:
    timeouts = ResolverTimeouts(last=0.2, restart=60, pause=0.01)
    made, _ = await bench(nursery, failing("none.example", silent), timeouts=timeouts)
    await made.ipv4_addresses("good.example")
    with closed_port() as closed:
        made.servers = (closed,)

        async def pass_time() -> None:
            while not made.recorded(ResolverSilent):
                await trio.lowlevel.checkpoint()
            made.now = 60

        nursery.start_soon(pass_time)
        with (
            trio.fail_after(patience(10)),
            pytest.raises(ResolverError, match="Connection refused"),
        ):
            await made.ipv4_addresses("www.example")


# What nobody expected.


async def test_a_fault_ends_the_lookup_that_it_hit(nursery: trio.Nursery) -> None:
    made, [bad, good] = await bench(nursery, says(rcode=dns.rcode.SERVFAIL), ADDRESS)

    def record(event: Event) -> None:
        if isinstance(event, ResolverSilent):
            raise ZeroDivisionError
        made.events.append(event)

    resolver = Resolver(lambda: made.servers, record, nursery, QUICK, open_gate())
    made.servers = (bad.server,)
    with trio.fail_after(patience(10)), pytest.raises(ResolverError, match="a defect"):
        await resolver.addresses("www.example")
    made.servers = (good.server,)
    assert (await resolver.addresses("www.example")).addresses == ("192.0.2.1",)
