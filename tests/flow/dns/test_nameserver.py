"""The name server on real sockets, with a fake resolver behind it."""

import errno
import socket
from ipaddress import IPv4Network

import dns.flags
import dns.message
import dns.rcode
import dns.reversename
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.addresses import Destination
from relay.descriptors import SPARE
from relay.dns import nameserver
from relay.dns.bounds.callers import MOST
from relay.dns.framing import Unframer, frame
from relay.dns.lookup.evidence import ResolverTimeouts
from relay.dns.messages import Query
from relay.dns.responder import Responder
from relay.dns.synthetic import KEPT, SyntheticAddresses
from relay.record.events import (
    AnswerWithheld,
    Fault,
    LookupFailed,
    NameAssigned,
    NameForwarded,
    NameRefused,
    ServedStale,
    TurnedAway,
)
from relay.record.kinds import Kind
from tests.support.inprocess.fake_resolver import (
    Asked,
    response,
    says,
    silent,
    truncated,
)
from tests.support.inprocess.nameserver import (
    ADDRESS,
    SOA,
    SYNTHETIC,
    addresses,
    answer_to,
    serving,
)
from tests.support.machine.limits import at_the_limit
from tests.support.pace import patience
from tests.support.packets import PACKETS

# What the program is told.


async def test_a_name_gets_a_synthetic_address_once() -> None:
    async with serving(ADDRESS) as made:
        for _ in range(3):
            assert addresses(await made.ask("WWW.example")) == [SYNTHETIC]
        assert made.synthetic.name_of(SYNTHETIC) == "www.example"
        assert made.events == [NameAssigned(name="www.example", address=SYNTHETIC)]
        assert len(made.upstream.asked) == 1


async def test_a_cname_chain() -> None:
    script = says("www.example 90 CNAME x.example.", "x.example 20 A 192.0.2.1")
    async with serving(script) as made:
        assert addresses(await made.ask()) == ["x.example.", SYNTHETIC]


async def test_real_addresses() -> None:
    async with serving(ADDRESS, "real") as made:
        assert addresses(await made.ask()) == ["192.0.2.1"]
        assert len(made.synthetic) == 0


async def test_aaaa_and_a_share_one_lookup() -> None:
    async with serving(ADDRESS) as made:
        for _ in range(2):
            none = await made.ask(rdtype="AAAA")
            assert (none.rcode(), none.answer) == (dns.rcode.NOERROR, [])
        assert addresses(await made.ask()) == [SYNTHETIC]
        assert len(made.upstream.asked) == 1
        assert made.recorded(AnswerWithheld) == [
            AnswerWithheld(name="www.example", type="AAAA", why="IPv4 only")
        ]


@pytest.mark.parametrize("rdtype", ["A", "AAAA", "MX"])
@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
async def test_nxdomain_and_nodata(rdtype: str, rcode: dns.rcode.Rcode) -> None:
    async with serving(says(rcode=rcode, authority=(SOA,))) as made:
        answer = await made.ask(rdtype=rdtype)
        assert (answer.rcode(), answer.answer, len(answer.authority)) == (rcode, [], 1)
        assert len(made.synthetic) == 0


async def test_https_without_hints_is_recorded_once() -> None:
    record = "www.example 60 HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1"
    async with serving(says(record)) as made:
        for _ in range(2):
            answer = await made.ask(rdtype="HTTPS")
            assert addresses(answer) == ['1 . alpn="h2"']
        assert len(made.recorded(AnswerWithheld)) == 1


async def test_other_types_are_forwarded() -> None:
    async with serving(says("www.example 60 MX 10 mail.example.")) as made:
        for _ in range(2):
            assert addresses(await made.ask(rdtype="MX")) == ["10 mail.example."]
        assert made.events == [NameForwarded(name="www.example", type="MX")]


@pytest.mark.parametrize("rdtype", ["A", "AAAA", "TXT", "ANY"])
async def test_a_denied_name_never_leaves(rdtype: str) -> None:
    async with serving(ADDRESS) as made:
        answer = await made.ask("c2VjcmV0.Denied.example", rdtype)
        assert answer.rcode() == dns.rcode.REFUSED
        assert made.upstream.asked == []
        assert made.events == [
            NameRefused(
                name="c2vjcmv0.denied.example",
                type=rdtype,
                kind=Kind.POLICY,
                rule="*.denied.example",
            )
        ]


async def test_localhost_any_and_reverse_names_are_local() -> None:
    async with serving(silent) as made:
        assert addresses(await made.ask("localhost")) == ["127.0.0.1"]
        assert addresses(await made.ask(rdtype="ANY")) == ['"RFC8482" ""']
        address = made.synthetic.assign("www.example", 0).address
        reverse = dns.reversename.from_address(address).to_text()
        assert addresses(await made.ask(reverse, "PTR")) == ["www.example."]
        assert made.upstream.asked == []


@pytest.mark.parametrize("rdtype", ["A", "AAAA", "MX"])
async def test_no_answer_is_servfail(rdtype: str) -> None:
    async with serving(silent) as made:
        assert (await made.ask(rdtype=rdtype)).rcode() == dns.rcode.SERVFAIL
        with trio.fail_after(patience(10)):
            while not made.recorded(LookupFailed):
                await trio.lowlevel.checkpoint()
        assert len(made.recorded(LookupFailed)) == 1


@pytest.mark.parametrize("rdtype", ["A", "AAAA", "MX", "HTTPS", "SRV", "PTR", "TXT"])
@pytest.mark.parametrize(
    "rcode", [dns.rcode.REFUSED, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.FORMERR]
)
async def test_an_error_is_passed_on_as_it_is(rdtype: str, rcode: dns.rcode.Rcode) -> None:
    async with serving(says(rcode=rcode)) as made:
        assert (await made.ask(rdtype=rdtype)).rcode() == rcode


@pytest.mark.parametrize("address", ["127.0.0.2", "0.0.0.0", "224.0.0.1", "255.255.255.255"])
async def test_addresses_of_no_other_host_stay_as_they_are(address: str) -> None:
    async with serving(says(f"www.example 60 A {address}")) as made:
        assert addresses(await made.ask()) == [address]
        assert len(made.synthetic) == 0


async def test_a_name_that_is_written_like_an_address_has_its_own_addresses() -> None:
    """A synthetic one would lead to the address that the name is written like."""
    async with serving(says("192.0.2.9 60 A 192.0.2.1")) as made:
        assert addresses(await made.ask("192.0.2.9")) == ["192.0.2.1"]
        assert len(made.synthetic) == 0


@pytest.mark.parametrize("name", ["0x7f.1", "127.1", "1.2.3", "4711", "1.2.3.4.5", "1.2.3.256"])
async def test_a_name_of_numbers_is_a_name(name: str) -> None:
    async with serving(says(f"{name} 60 A 192.0.2.1")) as made:
        [address] = addresses(await made.ask(name))
        assert made.synthetic.name_of(address) == name
        assert Destination(name, 80).name == name, "looked up when it is dialled"


async def test_a_name_that_resolved_once_resolves_in_an_outage() -> None:
    async with serving(says("www.example 0 A 192.0.2.1")) as made:
        before = addresses(await made.ask())
        made.upstream.script = says(rcode=dns.rcode.SERVFAIL)
        assert addresses(await made.ask()) == before
        assert len(made.recorded(ServedStale)) == 1


async def test_no_address_left_is_servfail() -> None:
    of_one = SyntheticAddresses(IPv4Network("10.0.0.0/31"), reserved=1)
    async with serving(says("a.example 60 A 192.0.2.1"), synthetic=of_one) as made:
        assert (await made.ask("a.example")).rcode() == dns.rcode.NOERROR
        made.upstream.script = says("b.example 60 A 192.0.2.1")
        assert (await made.ask("b.example")).rcode() == dns.rcode.SERVFAIL
        [event] = made.recorded(LookupFailed)
        assert isinstance(event, LookupFailed)
        assert "set a larger dns_pool" in event.cause


async def test_an_address_that_passes_to_another_name_is_recorded() -> None:
    of_one = SyntheticAddresses(IPv4Network("10.0.0.0/31"), reserved=1)
    of_one.assign("a.example", -KEPT)
    async with serving(says("b.example 60 A 192.0.2.1"), synthetic=of_one) as made:
        assert addresses(await made.ask("b.example")) == ["10.0.0.1"]
        [event] = made.events
        assert isinstance(event, NameAssigned)
        assert event.text() == (
            "name b.example is 10.0.0.1 in this session, which was that of a.example"
        )


async def test_an_error_is_told_over_tcp_to_who_takes_it_for_silence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As musl asks: the same datagram, from the same port, after some seconds."""
    async with serving(says(rcode=dns.rcode.REFUSED)) as made:
        query = dns.message.make_query("www.example", "A")
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.connect(made.address)
            for seconds, rcode in [(0, 5), (0.1, 5), (5, 0), (5, 0)]:
                await trio.sleep(seconds)
                await sock.send(query.to_wire())
                answer = answer_to(query, await sock.recv(512))
                assert (answer.rcode(), bool(answer.flags & dns.flags.TC)) == (rcode, rcode == 0)
        async with await made.connect() as stream:
            await stream.send_all(frame(query.to_wire()))
            [wire] = Unframer().feed(bytes(await stream.receive_some()))
            assert answer_to(query, wire).rcode() == dns.rcode.REFUSED


# UDP.


async def test_the_answer_comes_from_the_address_that_was_asked() -> None:
    async with serving(ADDRESS) as made:
        query = dns.message.make_query("www.example", "A")
        for asked in ["127.0.0.1", "127.7.7.7", "127.8.8.8"]:
            with trio.socket.socket(type=socket.SOCK_DGRAM) as sock, trio.fail_after(patience(10)):
                await sock.sendto(query.to_wire(), (asked, made.address[1]))
                wire, source = await sock.recvfrom(512)
            answer_to(query, wire)
            assert source == (asked, made.address[1])


async def test_a_long_answer_is_truncated_by_udp_and_whole_by_tcp() -> None:
    texts = [f"www.example 60 TXT {'x' * 200}{i}" for i in range(20)]
    async with serving(truncated(says(*texts))) as made:
        query = dns.message.make_query("www.example", "TXT")
        short = answer_to(query, await made.udp(query.to_wire()))
        assert short.flags & dns.flags.TC
        assert short.answer == []
        async with await made.connect() as stream:
            await stream.send_all(frame(query.to_wire()))
            [whole] = await frames(stream, 1)
        assert len(whole) > 4000
        assert len(addresses(answer_to(query, whole))) == 20


async def test_a_program_that_is_gone_harms_nobody() -> None:
    async with serving(ADDRESS) as made:
        for _ in range(3):
            with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
                await sock.sendto(dns.message.make_query("localhost", "A").to_wire(), made.address)
        assert addresses(await made.ask()) == [SYNTHETIC]


def test_only_named_errors_are_survived() -> None:
    def fail(number: int) -> None:
        raise OSError(number, "the error")

    with nameserver.udp_errors_survived():
        fail(errno.ECONNREFUSED)
    with pytest.raises(OSError, match="the error"), nameserver.udp_errors_survived():
        fail(errno.EBADF)


# TCP: RFC 7766.


async def frames(stream: trio.SocketStream, count: int) -> list[bytes]:
    unframer = Unframer()
    found: list[bytes] = []
    with trio.fail_after(patience(10)):
        while len(found) < count:
            data = bytes(await stream.receive_some())
            assert data, "the server closed the connection"
            found += unframer.feed(data)
    return found


async def at_end(stream: trio.SocketStream) -> bool:
    with trio.fail_after(patience(10)):
        try:
            return await stream.receive_some() == b""
        except trio.BrokenResourceError:
            return True


async def test_pipelined_queries_are_answered_in_any_order_even_after_the_end() -> None:
    last = trio.Event()

    async def slow_first(asked: Asked) -> None:
        if "first" in asked.message.question[0].to_text():
            await last.wait()
        await asked.send(response(asked.message).to_wire())

    async with serving(slow_first) as made, await made.connect() as stream:
        queries = [dns.message.make_query(f"{n}.example", "MX") for n in ("first", "second")]
        wire = b"".join(frame(query.to_wire()) for query in queries)
        await stream.send_all(wire[:5])
        await stream.send_all(wire[5:])
        await stream.send_eof()
        [second] = await frames(stream, 1)
        answer_to(queries[1], second)
        last.set()
        [first] = await frames(stream, 1)
        answer_to(queries[0], first)
        assert await at_end(stream)


@pytest.mark.parametrize("data", [b"\x00\x05short", b"\x00\x00"])
async def test_a_malformed_frame_closes(data: bytes) -> None:
    async with serving(ADDRESS) as made, await made.connect() as stream:
        await stream.send_all(data)
        assert await at_end(stream)
        assert addresses(await made.ask()) == [SYNTHETIC]


async def test_a_bad_query_gets_its_error_and_the_connection_goes_on() -> None:
    async with serving(ADDRESS) as made, await made.connect() as stream:
        await stream.send_all(frame(b"\x12\x34" + b"\x00" * 10) * 2)
        for answer in await frames(stream, 2):
            message = dns.message.from_wire(answer)
            assert (message.id, message.rcode()) == (0x1234, dns.rcode.FORMERR)


async def test_a_connection_that_is_reset_harms_nobody() -> None:
    go = trio.Event()

    async def slow(asked: Asked) -> None:
        await go.wait()
        await asked.send(response(asked.message).to_wire())

    async with serving(slow) as made:
        stream = await made.connect()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.send_all(frame(dns.message.make_query("a.example", "MX").to_wire()))
        await trio.testing.wait_all_tasks_blocked()
        stream.socket.close()
        go.set()
        assert addresses(await made.ask("localhost")) == ["127.0.0.1"]


async def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameserver, "IDLE_SECONDS", 0.05)
    async with serving(ADDRESS) as made, await made.connect() as stream:
        assert await at_end(stream)


async def test_a_program_that_takes_no_answer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameserver, "IDLE_SECONDS", 0.05)
    query = frame(dns.message.make_query("localhost", "A").to_wire())

    async def ask_forever(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(query * 1000)

    async with serving(ADDRESS) as made, await made.connect() as stream:
        with pytest.raises(trio.BrokenResourceError), trio.fail_after(patience(30)):
            await ask_forever(stream)


async def test_beyond_the_bound_the_longest_idle_connection_gives_way() -> None:
    query = frame(dns.message.make_query("localhost", "A").to_wire())
    async with serving(ADDRESS) as made:
        idle = [await made.connect() for _ in range(MOST)]
        for stream in idle[1:]:
            await stream.send_all(query)
            await frames(stream, 1)
            await stream.send_all(query[:5])
        for number in range(2):
            further = await made.connect()
            idle.append(further)
            await further.send_all(query)
            await frames(further, 1)
            assert await at_end(idle[number])
        told = [event for event in made.events if isinstance(event, TurnedAway)]
        assert [(event.kind, event.count) for event in told] == [(Kind.BOUND, 1), (Kind.BOUND, 2)]
        for stream in idle:
            await trio.aclose_forcefully(stream)


# Whatever a program sends.


@settings(max_examples=20)
@given(st.lists(PACKETS, min_size=50, max_size=50))
def test_a_thousand_packets_through_the_socket(packets: list[bytes]) -> None:
    trio.run(send_packets, packets)


async def send_packets(packets: list[bytes]) -> None:
    """Send each, then a query whose answer shows that the server got past it."""
    async with serving(ADDRESS) as made, trio.open_nursery() as nursery:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock, trio.fail_after(patience(30)):
            await sock.connect(made.address)
            for number, packet in enumerate(packets):
                await sock.send(packet)
                last = dns.message.make_query("localhost", "A", id=number)
                await sock.send(last.to_wire())
                while (wire := await sock.recv(65535)) and wire[:2] != last.to_wire()[:2]:
                    assert dns.message.from_wire(wire).id in {
                        int.from_bytes(packet[:2], "big") for packet in packets
                    }
        nursery.cancel_scope.cancel()


# At the limit, and after a fault.


async def test_at_the_limit_a_question_is_answered_servfail_at_once() -> None:
    async with serving(ADDRESS, timeouts=ResolverTimeouts()) as made:
        await trio.testing.wait_all_tasks_blocked()  # the fake resolver accepts by now
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock, trio.fail_after(patience(5)):
            await sock.connect(made.address)
            for rdtype in ("A", "MX"):
                query = dns.message.make_query("www.example", rdtype)
                with at_the_limit():
                    await sock.send(query.to_wire())
                    answer = answer_to(query, await sock.recv(65535))
                assert answer.rcode() is dns.rcode.SERVFAIL
        failed = made.recorded(LookupFailed)
        assert [event.kind for event in failed if isinstance(event, LookupFailed)] == [
            Kind.RESOURCES
        ] * 2
        assert addresses(await made.ask()) == [SYNTHETIC]


async def test_at_the_limit_a_connection_is_reset_at_once() -> None:
    SPARE.keep()
    async with serving(ADDRESS) as made:
        await trio.testing.wait_all_tasks_blocked()
        with socket.socket() as sock, at_the_limit():
            sock.connect(made.address)  # before any task of the server runs
            with trio.fail_after(patience(5)):
                await trio.lowlevel.wait_readable(sock)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        (away,) = made.recorded(TurnedAway)
        assert isinstance(away, TurnedAway)
        assert (away.where, away.kind) == ("the name server", Kind.RESOURCES)
        async with await made.connect() as stream:
            await stream.send_all(frame(dns.message.make_query("www.example", "A").to_wire()))
            assert await stream.receive_some()
    SPARE.keep(0)


@pytest.mark.parametrize("over", ["udp", "tcp"])
@pytest.mark.parametrize("where", ["at_once", "ask"])
async def test_a_fault_in_one_question_is_its_servfail(
    over: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = getattr(Responder, where)

    def faulty(responder: Responder, query: Query) -> object:
        if query.name == "odd.example":
            raise KeyError("a defect")
        return healthy(responder, query)

    monkeypatch.setattr(Responder, where, faulty)
    query = dns.message.make_query("odd.example", "A")
    async with serving(ADDRESS) as made:
        if over == "udp":
            answer = answer_to(query, await made.udp(query.to_wire()))
        else:
            async with await made.connect() as stream:
                await stream.send_all(frame(query.to_wire()))
                answer = answer_to(query, (await stream.receive_some())[2:])
        assert answer.rcode() is dns.rcode.SERVFAIL
        (fault,) = made.recorded(Fault)
        assert isinstance(fault, Fault)
        assert (fault.where, fault.error, fault.saw) == ("question", "KeyError", "SERVFAIL")
        assert addresses(await made.ask()) == [SYNTHETIC]
