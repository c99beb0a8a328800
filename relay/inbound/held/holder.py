"""Connections whose SYN is held: the kernel accepts one when it is sent again, after the dial.

Until then the program's connect() is pending, as if nothing stood between it and its destination,
and ends by what is answered: accepted, refused, unreachable, or not at all.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from netns.network.holding import SynSockets
from relay.addresses import Endpoint, is_loopback
from relay.barrier import Record, contained
from relay.inbound.held import segments
from relay.inbound.held.answered import Answered, Ends
from relay.inbound.held.backlog import Backlog
from relay.inbound.held.nflog import logged_packet
from relay.inbound.held.offer import HeldOffer
from relay.inbound.held.returning import Returning
from relay.inbound.held.room import Room
from relay.inbound.held.segments import Syn, parse_syn
from relay.inbound.held.slices import in_slices
from relay.inbound.listener import AcceptedOffer, Listener
from relay.inbound.offer import GIVEN_UP, Offer, Refusal
from relay.inbound.socket_table import SocketTable
from relay.record.events import ConnectLeft
from relay.record.kinds import Kind
from relay.sockets import TCP_CLOSE, TCP_CLOSING, TCP_LISTEN, TCP_SYN_SENT, TCP_TIME_WAIT

MOST_HELD: Final = 4096
"""SYNs, if there are four times as many descriptors. A further one takes the place of another, as
room.py says, or is left to be retransmitted itself."""

PART: Final = 4
"""Each may be dialled, which takes a descriptor: that part of them may wait for an answer."""

TURN: Final = 1024
"""SYNs that are looked at before the others have their turn, copies mostly."""

STARTS: Final = 32
"""Of them, those that are offered: each is dialled in the next turn, for which all others wait."""

_RECEIVE_SIZE: Final = 4096
"""More than a message has: of each packet the headers are copied, holding.py."""

BURST: Final = 8
"""Connections to one destination between two sweeps. Further SYNs are accepted before the dial for
some seconds, holding.py: holding one costs as much as all else that a short connection takes."""

SWEEP: Final = 1.0
"""Seconds between two looks at whether the programs still wait."""

_GONE: Final = (None, TCP_CLOSE, TCP_LISTEN)
"""States of a program's socket that has given its connect() up; in LISTEN it is another socket."""


class SynHolder:
    """Offers each connect() of the namespace before it is accepted: an Inbound.

    What connects a SYN with a socket of the listener are its ends, addresses and ports; a sequence
    number that differs shows another connect() of the same ends, after whose SYN the one before
    cannot be pending any more.
    """

    def __init__(
        self,
        syns: SynSockets,
        listener: Listener,
        table: SocketTable,
        record: Record,
        most: int,
    ) -> None:
        """Take what the namespace has made; the owner of the sockets closes them."""
        self.take_other: Callable[[memoryview], None] = lambda _packet: None
        """Called with what was logged and is no SYN."""
        self.refuses: Callable[[Endpoint], bool] = lambda _destination: False
        """Returns whether a SYN is refused without an offer, and takes note of it."""
        self._record = record
        self._log, self._raw, self._raw_of_burst = syns.log, syns.raw, syns.raw_of_burst
        self._raw_ipv6 = None if syns.ipv6 is None else syns.ipv6.raw
        self._listeners, self._table = [listener], table
        if syns.ipv6 is not None:
            self._listeners.append(Listener(syns.ipv6.listener, "tproxy", record))
        self._start: Callable[[Offer], None] = lambda _offer: None
        self._offers: dict[Ends, HeldOffer] = {}
        """Until they are closed."""
        self._held = Room[HeldOffer](most)
        """Those whose connect() is pending; the SYN of one that gives way is retransmitted."""
        self._backlog, self._returning = Backlog(), Returning()
        self._answered = Answered()
        self._accepted_first: set[Ends] = set()
        """Since the log was last read to its end: of their SYNs there may be a copy in it."""
        self._reached: dict[Endpoint, int] = {}
        """How often since the last sweep."""
        self._has_work = trio.Event()

    async def serve(self, start: Callable[[Offer], None]) -> None:
        """Hold SYNs and offer them, until cancelled."""
        self._start = start
        async with trio.open_nursery() as nursery:
            for listener in self._listeners:
                nursery.start_soon(listener.serve, self._take_accepted)
            nursery.start_soon(self._sweep)
            while True:
                if self._read():
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(self._log)

    def take_waiting(self, start: Callable[[Offer], None]) -> None:
        """Hand over what was accepted; a connect() that is pending now would come too late."""
        self._start = start
        for listener in self._listeners:
            listener.take_waiting(self._take_accepted)

    def _read(self) -> bool:
        """Take what has come, up to a turn's share; return whether there may be more."""
        now = trio.current_time()
        self._backlog.fill(partial(self._log.recv, _RECEIVE_SIZE), now)
        most = len(self._offers) + STARTS
        for message in self._backlog.taken(TURN, now):
            with contained(self._record, "SYN"):
                packet = logged_packet(message)
                if (syn := parse_syn(packet)) is not None:
                    self._take_syn(syn)
                else:
                    self.take_other(packet)
            if len(self._offers) >= most:
                break
        if not self._backlog:
            self._accepted_first.clear()
        return bool(self._backlog)

    def _take_syn(self, syn: Syn) -> None:
        """Offer a new SYN; keep the newest copy of one that is held."""
        ends = syn.source, syn.destination
        before = self._offers.get(ends)
        if before is not None and before.syn.sequence == syn.sequence:
            before.syn = syn
            if before.is_held and before.is_accepting:  # the backlog had no room for it
                self.send_again(before)
            return
        if self._answered.is_copy(ends, syn.sequence):
            return
        if ends in self._accepted_first and self._state(*ends) != TCP_SYN_SENT:
            return
        if before is not None and before in self._held:
            self._withdraw(before, GIVEN_UP)
        if self.refuses(syn.destination):
            with contextlib.suppress(OSError):
                self._send(segments.reset(syn), syn.source)
            return
        if not self._held.has_place(syn.destination):
            self._leave(syn)
            return
        if (other := self._held.to_give_way()) is not None:
            if not self._returning.may_displace(ends, syn.sequence):
                return
            self._returning.note((other.source, other.destination), other.syn.sequence)
            self._withdraw(other, "too many are held at a time")
        self._returning.forget(ends)
        offer = self._offers[ends] = HeldOffer(syn, self)
        self._held.add(offer)
        self._has_work.set()
        self._start(offer)

    def _leave(self, syn: Syn) -> None:
        """Leave a SYN to be retransmitted: then there may be a place for it."""
        address, port = syn.destination
        self._record(ConnectLeft(address=address, port=port, kind=Kind.BOUND))

    def _take_accepted(self, accepted: Offer) -> None:
        """Hand a socket that the kernel has accepted to the offer that waits for it.

        If none does, its SYN belonged to a burst. But a copy of it may have come before the burst
        did, and wait to be read: that one is no further connect().
        """
        assert isinstance(accepted, AcceptedOffer)
        offer = self._offers.get((accepted.source, accepted.destination))
        if offer is not None and offer in self._held:
            self._held.discard(offer)
            offer.complete(accepted)
        else:
            if len(self._accepted_first) >= TURN:
                self._read()  # to the end, mostly: then they are forgotten
            self._accepted_first.add((accepted.source, accepted.destination))
            self._start(accepted)

    def is_pending(self, offer: HeldOffer) -> bool:
        """Return whether an offer is held, and its program has not given up."""
        return offer in self._held and self._waits(offer.source, offer.destination)

    def _waits(self, source: Endpoint, destination: Endpoint) -> bool:
        """Return whether the program has such a socket, connected or not."""
        return self._state(source, destination) not in _GONE

    def _state(self, source: Endpoint, destination: Endpoint) -> int | None:
        """Return the state of a program's socket; if it cannot be found out, the program waits."""
        try:
            return self._table.state(source, destination)
        except OSError:
            return TCP_SYN_SENT

    def send_again(self, offer: HeldOffer) -> None:
        """Let the kernel accept a SYN, and take what it has accepted; raises OSError.

        On loopback a server of the namespace may have begun to listen there while the SYN was held.
        Then it is that one's, and nobody waits for the offer any more: who has connected waits for
        no SYN.
        """
        reached = self._reached[offer.destination] = self._reached.get(offer.destination, 0) + 1
        self._send(segments.again(offer.syn), offer.destination, is_burst=reached > BURST)
        self._listeners[segments.is_ipv6(offer.syn)].take_waiting(self._take_accepted)
        if (
            offer in self._held
            and is_loopback(offer.destination[0])
            and self._state(offer.source, offer.destination) != TCP_SYN_SENT
        ):
            self._withdraw(offer, "a server inside has taken it")

    def _send(self, packet: bytes, to: Endpoint, *, is_burst: bool = False) -> None:
        """Send a packet; raises OSError."""
        raw = self._raw_of_burst if is_burst else self._raw
        if ":" in to[0] and self._raw_ipv6 is not None:
            raw = self._raw_ipv6
        raw.sendto(packet, (to[0], 0))

    def has_time_wait(self, offer: HeldOffer, received: int) -> bool:
        """End the TIME_WAIT of a connection that was accepted, whose two directions have ended.

        Return whether it is still to come: the program has ended first, and does not read.
        """
        state = self._state(offer.destination, offer.source)
        if state == TCP_TIME_WAIT:
            with contextlib.suppress(OSError):
                self._send(segments.end_of_time_wait(offer.syn, received), offer.destination)
        return state == TCP_CLOSING

    def refuse(self, offer: HeldOffer, refusal: Refusal) -> None:
        """Answer a SYN that is held; if that fails, the program's kernel sends it again."""
        if offer not in self._held:
            return
        if refusal is Refusal.NO_ANSWER:
            self._answered.leave((offer.source, offer.destination), offer.syn.sequence)
            return
        if refusal is Refusal.REFUSED:
            packet = segments.reset(offer.syn)
        else:
            packet = segments.unreachable(offer.syn, refusal.value)
        with contextlib.suppress(OSError):
            self._send(packet, offer.source)

    def forget(self, offer: HeldOffer) -> None:
        """Hold a SYN no longer; the offer is closed."""
        self._held.discard(offer)
        ends = offer.source, offer.destination
        if self._offers.get(ends) is offer:
            del self._offers[ends]
            if not offer.is_held:  # where it was refused, a copy has to be answered again
                self._answered.note(ends, offer.syn.sequence)

    def _withdraw(self, offer: HeldOffer, why: str) -> None:
        """Hold an offer no longer, and let whoever dials for it know."""
        self._held.discard(offer)
        offer.withdraw(why)

    async def _sweep(self) -> None:
        """Withdraw what programs have given up, once a second while anything is held or remembered.

        The event is made anew when there is nothing and before this task waits for it; no other
        task runs in between.
        """
        while True:
            await self._has_work.wait()
            while self._held or self._reached or not self._answered.is_empty:
                await trio.sleep(SWEEP)
                self._answered.turn()
                self._returning.turn()
                self._reached.clear()
                async for ends in in_slices(self._answered.left):
                    if not self._waits(*ends):
                        self._answered.forget_left(ends)
                async for offer in in_slices(tuple(self._held)):
                    if offer in self._held and not self.is_pending(offer):
                        self._withdraw(offer, GIVEN_UP)
            self._has_work = trio.Event()
