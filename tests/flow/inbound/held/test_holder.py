"""SYNs that are held: each is offered once, and answered as its dial ends, whatever comes between.

The SYNs are written by scapy and come as nfnetlink_log has them. What is sent in answer is read;
a SYN that is sent again becomes a real connection of loopback, which the listener accepts.
"""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import IPv6
from trio.testing import MockClock

from netns.network.holding import IPv6Sockets, SynSockets
from relay.addresses import Endpoint
from relay.inbound.held import holder
from relay.inbound.held.holder import SynHolder
from relay.inbound.held.offer import HeldOffer
from relay.inbound.held.returning import RETURNS
from relay.inbound.listener import Listener
from relay.inbound.offer import Offer, Refusal
from relay.inbound.socket_table import SocketTable
from relay.record.events import ConnectLeft, Event, Fault
from relay.sockets import (
    TCP_CLOSE,
    TCP_CLOSING,
    TCP_ESTABLISHED,
    TCP_SYN_SENT,
    TCP_TIME_WAIT,
)

MOST = 20
HALF = MOST // 2
ELSEWHERE: Endpoint = ("203.0.113.5", 443)


class Raw(socket.socket):
    """Keeps what is sent."""

    def __init__(self, on_send: Callable[[bytes], None]) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._on_send = on_send

    def sendto(self, data: Any, address: Any) -> int:  # type: ignore[override]
        self._on_send(bytes(data))
        return len(data)


class Table(SocketTable):
    """Knows what the test says."""

    def __init__(self) -> None:
        self.states: dict[Endpoint, int] = {}
        self.fails = False

    def state(self, local: Endpoint, remote: Endpoint) -> int | None:
        if self.fails:
            raise OSError
        return self.states.get(local)


@dataclass
class Bench:
    """A holder, what programs do to it, and what comes of it."""

    log: socket.socket
    listener: socket.socket
    nursery: trio.Nursery
    holder: SynHolder = field(init=False)
    table: Table = field(default_factory=Table)
    offers: list[Offer] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    of_burst: list[Any] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    programs: list[socket.socket] = field(default_factory=list)
    accepts: bool = True
    """Whether the kernel has room for what is sent again."""
    is_eager: bool = False
    """Whether each offer is accepted at once."""

    @property
    def server(self) -> Endpoint:
        address, port = self.listener.getsockname()
        return address, port

    def syn(self, source: Endpoint, to: Endpoint | None = None, sequence: int = 7) -> None:
        """Have a program send a SYN."""
        self.table.states.setdefault(source, TCP_SYN_SENT)
        destination = to or self.server
        ip = IP(src=source[0], dst=destination[0])
        packet = bytes(ip / TCP(sport=source[1], dport=destination[1], seq=sequence, flags="S"))
        payload = struct.pack("=HH", 4 + len(packet), 9) + packet
        self.log.send(
            struct.pack("=IHHII", 20 + len(payload), 4 << 8, 0, 0, 0) + bytes(4) + payload
        )

    async def offered(self, source: Endpoint, to: Endpoint | None = None) -> HeldOffer:
        """Have a program send a SYN; return the offer that comes of it."""
        self.syn(source, to)
        await trio.testing.wait_all_tasks_blocked()
        offer = self.offers[-1]
        assert isinstance(offer, HeldOffer)
        assert offer.source == source
        return offer

    def take(self, offer: Offer) -> None:
        """Take an offer over; accept it before any other task runs if the bench is eager."""
        self.offers.append(offer)
        if self.is_eager:
            with pytest.raises(StopIteration):
                offer.accept().send(None)

    def answered(self, packet: bytes) -> None:
        """Be the kernel: accept what is sent again."""
        ip = IP(packet)
        self.sent.append(ip)
        if TCP in ip and str(ip[TCP].flags) == "S" and self.accepts:
            program = socket.socket()
            self.programs.append(program)
            program.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            program.bind((ip.src, ip[TCP].sport))
            program.connect((ip.dst, ip[TCP].dport))
            self.table.states[ip.src, ip[TCP].sport] = TCP_ESTABLISHED


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        for sock in (ours, listener):
            sock.setblocking(False)
        made = Bench(theirs, listener, nursery)

        def to_burst(packet: bytes) -> None:
            made.of_burst.append(packet)
            made.answered(packet)

        with Raw(made.answered) as raw, Raw(to_burst) as burst:
            syns = SynSockets(ours, raw, burst)
            waiting = Listener(listener, "tproxy", made.events.append)
            made.holder = SynHolder(syns, waiting, made.table, made.events.append, MOST)
            nursery.start_soon(made.holder.serve, made.take)
            yield made
            nursery.cancel_scope.cancel()
        for offer in made.offers:
            offer.close()
        for program in made.programs:
            program.close()


def source(number: int) -> Endpoint:
    """Return the end of a program's socket, on loopback."""
    return f"127.0.{number // 200}.{number % 200 + 1}", 20000 + number


async def test_a_syn_is_accepted_when_it_is_sent_again(bench: Bench) -> None:
    offer = await bench.offered(source(1))
    assert (offer.is_held, offer.is_wanted, offer.has_ended) == (True, True, False)
    assert not bench.sent
    accepted = await offer.accept()
    assert (accepted.getpeername(), accepted.getsockname()) == (source(1), bench.server)
    assert (offer.is_held, offer.is_wanted) == (False, True)
    assert await offer.accept() is accepted
    bench.programs[0].shutdown(socket.SHUT_WR)
    await trio.lowlevel.wait_readable(accepted)
    assert offer.has_ended
    offer.close()
    assert accepted.fileno() == -1


async def test_copies_are_not_offered_again(bench: Bench, autojump_clock: MockClock) -> None:
    offer = await bench.offered(source(1))
    bench.syn(source(1))
    await trio.testing.wait_all_tasks_blocked()
    await offer.accept()
    bench.syn(source(1))
    await trio.testing.wait_all_tasks_blocked()
    offer.close()
    bench.syn(source(1))
    await trio.testing.wait_all_tasks_blocked()
    await trio.sleep(1.5)
    bench.syn(source(1))
    await trio.testing.wait_all_tasks_blocked()
    assert bench.offers == [offer]
    assert len(bench.sent) == 1
    await trio.sleep(2)
    assert await bench.offered(source(1)) is not offer, "by now it is another connect()"


async def test_another_connect_of_the_same_ends_withdraws_the_one_before(
    bench: Bench, autojump_clock: MockClock
) -> None:
    offer = await bench.offered(source(1))
    withdrawn = trio.Event()
    offer.on_withdrawal(withdrawn.set)
    bench.syn(source(1), sequence=8)
    await withdrawn.wait()
    assert not offer.is_wanted
    offer.refuse(Refusal.REFUSED)
    offer.close()
    assert not bench.sent, "a RST would hit the new one"
    with pytest.raises(ConnectionAbortedError, match="gave its connect"):
        await offer.accept()
    (_, second) = bench.offers
    assert second.is_wanted


@pytest.mark.parametrize("refusal", [each for each in Refusal if each is not Refusal.NO_ANSWER])
async def test_a_refusal_says_why(bench: Bench, refusal: Refusal) -> None:
    offer = await bench.offered(source(1), ELSEWHERE)
    offer.refuse(refusal)
    (sent,) = bench.sent
    assert (sent.src, sent.dst) == (ELSEWHERE[0], source(1)[0])
    if refusal is Refusal.REFUSED:
        assert str(sent[TCP].flags) == "RA"
        assert sent[TCP].ack == 8
    else:
        assert (sent[ICMP].type, sent[ICMP].code) == (3, refusal.value)
    offer.close()


async def test_what_has_no_answer_is_not_offered_again_while_its_program_waits(
    bench: Bench, autojump_clock: MockClock
) -> None:
    offer = await bench.offered(source(1), ELSEWHERE)
    offer.refuse(Refusal.NO_ANSWER)
    offer.close()
    for _ in range(5):
        await trio.sleep(3)
        bench.syn(source(1), ELSEWHERE)
        await trio.testing.wait_all_tasks_blocked()
    assert bench.offers == [offer]
    assert not bench.sent
    bench.table.states[source(1)] = TCP_CLOSE
    await trio.sleep(3)
    bench.table.states[source(1)] = TCP_SYN_SENT
    await bench.offered(source(1), ELSEWHERE)
    assert len(bench.offers) == 2


async def test_a_program_that_gives_up_is_noticed_within_a_second(
    bench: Bench, autojump_clock: MockClock
) -> None:
    offer = await bench.offered(source(1), ELSEWHERE)
    withdrawn = trio.Event()
    offer.on_withdrawal(withdrawn.set)
    await trio.sleep(20)
    assert not withdrawn.is_set()
    del bench.table.states[source(1)]
    began = trio.current_time()
    await withdrawn.wait()
    assert trio.current_time() - began <= holder.SWEEP


async def test_a_table_that_cannot_be_asked_ends_nothing(
    bench: Bench, autojump_clock: MockClock
) -> None:
    offer = await bench.offered(source(1), ELSEWHERE)
    offer.on_withdrawal(lambda: pytest.fail("withdrawn"))
    bench.table.fails = True
    await trio.sleep(3)
    assert offer.is_wanted


async def test_a_full_backlog_is_waited_out(bench: Bench) -> None:
    offer = await bench.offered(source(1))
    bench.accepts = False
    accepted = list[socket.socket]()

    async def accept() -> None:
        accepted.append(await offer.accept())

    bench.nursery.start_soon(accept)
    await trio.testing.wait_all_tasks_blocked()
    assert len(bench.sent) == 1
    assert not accepted
    bench.accepts = True
    bench.syn(source(1))
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert len(bench.sent) == 2
    assert accepted


async def test_a_program_that_is_gone_is_not_waited_for(bench: Bench) -> None:
    offer = await bench.offered(source(1))
    bench.accepts = False
    del bench.table.states[source(1)]
    with pytest.raises(ConnectionAbortedError):
        await offer.accept()
    offer = await bench.offered(source(2))
    bench.nursery.start_soon(_gives_up, bench, source(2))
    with pytest.raises(ConnectionAbortedError):
        await offer.accept()


async def _gives_up(bench: Bench, program: Endpoint) -> None:
    del bench.table.states[program]


async def test_many_that_wait_for_one_do_not_keep_others_from_theirs(
    bench: Bench,
) -> None:
    elsewhere = await bench.offered(source(0))
    knocking = [await bench.offered(source(number), ELSEWHERE) for number in range(1, HALF + 1)]
    for _copy in range(2):
        bench.syn(source(MOST), ELSEWHERE)
        await trio.testing.wait_all_tasks_blocked()
        assert bench.offers[1:] == knocking, "it waits for a place"
    assert [type(event) for event in bench.events] == [ConnectLeft] * 2
    knocking[0].close()
    await bench.offered(source(MOST), ELSEWHERE)
    assert elsewhere.is_wanted


async def test_copies_of_what_gave_way_take_few_places(bench: Bench) -> None:
    elsewhere = [(f"203.0.113.{number}", 443) for number in range(RETURNS + 2 * MOST)]
    for _copy in range(2):
        for number, to in enumerate(elsewhere):
            bench.syn(source(number), to)
            await trio.testing.wait_all_tasks_blocked()
            offer = bench.offers[-1]
            offer.on_withdrawal(offer.close)
    assert len(bench.offers) == len(elsewhere) + RETURNS
    await bench.offered(source(200), ("203.0.113.200", 443))


async def test_where_each_waits_for_another_the_oldest_gives_way(bench: Bench) -> None:
    knocking = [await bench.offered(source(n), ("203.0.113.6", n)) for n in range(1, MOST + 1)]
    for further in (ELSEWHERE, knocking[-1].destination):
        await bench.offered(source(MOST + 1 + further[1]), further)
    assert [offer.is_wanted for offer in knocking] == [False, False, *[True] * (MOST - 2)]
    assert knocking[0].withdrawal == "too many are held at a time"
    late = trio.Event()
    knocking[0].on_withdrawal(late.set)
    assert late.is_set(), "whoever begins to dial for it hears of it too"
    knocking[0].close()
    again = await bench.offered(source(1), knocking[0].destination)
    assert again is not knocking[0], "it came again, when another had given way"


async def test_a_burst_is_marked_as_one(bench: Bench, autojump_clock: MockClock) -> None:
    for number in range(holder.BURST + 2):
        await (await bench.offered(source(number))).accept()
    assert len(bench.of_burst) == 2
    await trio.sleep(holder.SWEEP + 0.1)
    await (await bench.offered(source(100))).accept()
    assert len(bench.of_burst) == 2


async def test_connections_that_are_accepted_at_once_are_no_burst_unless_they_come_at_once(
    bench: Bench, autojump_clock: MockClock
) -> None:
    """The gateway accepts in the tick of the offer: then nothing is held when it is looked at."""
    bench.is_eager = True
    for number in range(holder.BURST + 2):
        bench.syn(source(number))
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(2 * holder.SWEEP)
    assert len(bench.sent) == holder.BURST + 2
    assert not bench.of_burst


async def test_what_nobody_waits_for_is_served_as_one_that_was_accepted(bench: Bench) -> None:
    with socket.create_connection(bench.server):
        await trio.testing.wait_all_tasks_blocked(0.01)
    (offer,) = bench.offers
    assert not offer.is_held
    offer.close()


async def test_a_copy_that_came_before_its_burst_is_no_further_connect(bench: Bench) -> None:
    program = socket.create_connection(bench.server)
    bench.programs.append(program)
    address, port = program.getsockname()
    await trio.testing.wait_all_tasks_blocked()
    assert len(bench.offers) == 1
    bench.table.states[address, port] = TCP_ESTABLISHED
    bench.syn((address, port))
    await trio.testing.wait_all_tasks_blocked()
    assert len(bench.offers) == 1


@pytest.mark.parametrize("is_known", [True, False])
async def test_the_next_connect_of_the_same_ends_is_one(bench: Bench, is_known: bool) -> None:
    program = socket.create_connection(bench.server)
    ends = program.getsockname()
    await trio.testing.wait_all_tasks_blocked()
    program.close()
    bench.table.states[ends] = TCP_SYN_SENT
    bench.table.fails = not is_known
    bench.syn(ends)
    await trio.testing.wait_all_tasks_blocked()
    assert [each.is_held for each in bench.offers] == [False, True]


async def test_what_is_no_syn_is_no_offer(bench: Bench) -> None:
    for message in (b"", b"x" * 100):
        bench.log.send(message)
    await bench.offered(source(1))
    assert len(bench.offers) == 1
    assert not [event for event in bench.events if isinstance(event, Fault)]


# Loopback: a server inside, a closed port, and what a connection leaves


async def test_a_server_that_has_come_inside_takes_the_connection(bench: Bench) -> None:
    offer = await bench.offered(source(1))
    bench.accepts = False
    bench.table.states[source(1)] = TCP_ESTABLISHED
    with pytest.raises(ConnectionAbortedError, match="a server inside has taken it"):
        await offer.accept()


async def test_a_closed_port_is_refused_without_an_offer(bench: Bench) -> None:
    refused: list[Endpoint] = []

    def refuses(destination: Endpoint) -> bool:
        refused.append(destination)
        return True

    bench.holder.refuses = refuses
    bench.syn(source(1))
    bench.syn(source(1))
    await trio.testing.wait_all_tasks_blocked()
    assert not bench.offers
    assert refused == [bench.server] * 2, "each copy is answered"
    assert [str(packet[TCP].flags) for packet in bench.sent] == ["RA", "RA"]


@pytest.mark.parametrize(
    ("state", "is_to_come", "sent"),
    [(TCP_TIME_WAIT, False, ["R"]), (TCP_CLOSING, True, []), (None, False, [])],
)
async def test_a_time_wait_is_ended(
    bench: Bench, state: int | None, is_to_come: bool, sent: list[str]
) -> None:
    offer = await bench.offered(source(1))
    await offer.accept()
    bench.sent.clear()
    if state is not None:
        bench.table.states[bench.server] = state
    assert offer.has_time_wait(5) == is_to_come
    assert [str(packet[TCP].flags) for packet in bench.sent] == sent
    assert [packet[TCP].seq for packet in bench.sent] == [7 + 1 + 5 + 1] * len(sent)


async def test_over_ipv6_there_are_sockets_of_its_own(nursery: trio.Nursery) -> None:
    """What is sent again is accepted by the listener of IPv6; at the end what is there is taken."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with (
        ours,
        theirs,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as of_ipv6,
        socket.socket(socket.AF_INET6) as program,
    ):
        for sock in (ours, listener, of_ipv6):
            sock.setblocking(False)
        port = of_ipv6.getsockname()[1]
        program.bind(("::1", 0))
        source_port = program.getsockname()[1]
        sent: list[Any] = []

        def answered(packet: bytes) -> None:
            sent.append(IPv6(packet))
            if str(sent[-1][TCP].flags) == "S":
                program.connect(("::1", port))

        with Raw(sent.append) as raw, Raw(sent.append) as burst, Raw(answered) as raw_ipv6:
            syns = SynSockets(ours, raw, burst, IPv6Sockets(of_ipv6, raw_ipv6))
            events: list[Event] = []
            table = Table()
            table.states["::1", source_port] = TCP_SYN_SENT
            waiting = Listener(listener, "tproxy", events.append)
            made = SynHolder(syns, waiting, table, events.append, MOST)
            offers: list[Offer] = []
            nursery.start_soon(made.serve, offers.append)
            ip = IPv6(src="::1", dst="::1")
            packet = bytes(ip / TCP(sport=source_port, dport=port, seq=7, flags="S"))
            payload = struct.pack("=HH", 4 + len(packet), 9) + packet
            head = struct.pack("=IHHII", 20 + len(payload), 4 << 8, 0, 0, 0)
            theirs.send(head + bytes(4) + payload)
            await trio.testing.wait_all_tasks_blocked()
            (offer,) = offers
            assert offer.source == ("::1", source_port)
            assert (await offer.accept()).getpeername()[:2] == ("::1", source_port)
            assert offer.destination == ("::1", port)
            with socket.create_connection(("::1", port)):
                made.take_waiting(offers.append)
            assert offers[1].destination == ("::1", port)
            for each in offers:
                each.close()
            nursery.cancel_scope.cancel()
    assert not events
