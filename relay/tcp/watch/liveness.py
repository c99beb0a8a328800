"""Finds upstream connections that are dead, and holds those that only an outage keeps silent.

Once a second it looks at two numbers of each connection; TCP_INFO is read only of those that wait
for an answer or have been idle for as long as keepalive takes. diagnosis.py judges. On kernels that
do not tell so much the connections are the kernel's keepalive's alone.
"""

import errno
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import trio

from relay.addresses import Destination, Endpoint
from relay.barrier import contained, note
from relay.host.network import NetworkWatch
from relay.host.suspend import SuspendDetector
from relay.outbound.door import Door
from relay.outbound.keepalive import KeepAlive
from relay.outbound.standing import Watched
from relay.policy.verdicts import Allow
from relay.record.events import Cleared, Event, PathDown, PathUp, Slept, Suspected
from relay.record.kinds import ForgottenError, Kind
from relay.sockets import TCP_INFO, resets_on_close, stream
from relay.tcp.watch import diagnosis
from relay.tcp.watch.diagnosis import Path, TcpInfo, Verdict

SWEEP: Final = 1.0
"""Seconds between two looks."""

HASTE: Final = 0.25
"""The same while there are suspects after a suspend, whose grace is short."""

WAITING: Final = 1.5
"""Seconds without an answer after which a connection is probed every second."""

DIAL: Final = 2.0
"""Seconds for the answer to a dial that is made to see whether the network is down."""

AGAIN: Final = 2.0
"""Seconds between two such dials that are answered."""

_REFUSED: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})


@dataclass(slots=True)
class _Notes:
    """What is remembered of a connection from one look to the next."""

    next_look: float = 0.0
    """When its TCP_INFO is read again although it waits for nothing."""
    eager: bool = False
    """Whether it is probed every second."""
    suspect: bool = False
    grace: float = diagnosis.GRACE


@dataclass(eq=False)
class Liveness:
    """Watches the connections of a session."""

    _connections: Collection[Watched]
    _keepalive: KeepAlive
    _network: NetworkWatch
    _record: Callable[[Event], None]
    _suspend: SuspendDetector
    _door: Door
    _notes: dict[Watched, _Notes] = field(default_factory=dict)
    _paths: dict[Endpoint, Path] = field(default_factory=dict)
    """What dialling the suspects' destinations again has shown."""
    _in_haste: bool = False

    async def watch(self) -> None:
        """Look at all connections, once a second, until cancelled.

        After a fault it may be called again: what dials had shown is forgotten, and whatever was
        suspect is found to be so once more.
        """
        self._paths.clear()
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(HASTE if self._in_haste else SWEEP)
                suspended = self._suspend.suspended()
                if suspended:
                    self._record(Slept(seconds=suspended))
                    self._probe_all(diagnosis.GRACE_AFTER_SLEEP)
                    self._network.notify()
                self._sweep(nursery)

    def network_changed(self) -> None:
        """Probe all connections at once: the path to their peers may have changed."""
        self._probe_all(diagnosis.GRACE)

    def _probe_all(self, grace: float) -> None:
        if TCP_INFO is None:
            return
        for connection in self._connections:
            notes = self._notes.setdefault(connection, _Notes())
            notes.grace = min(notes.grace, grace)
            notes.next_look = 0.0
            with contained(self._record, "probe", connection.number):
                if not notes.eager:
                    self._set_eager(connection, notes, eager=True)

    def _sweep(self, nursery: trio.Nursery) -> None:
        now = trio.current_time()
        for gone in self._notes.keys() - set(self._connections):
            del self._notes[gone]
        for connection in tuple(self._connections):
            try:
                if _is_to_retire(connection, now):
                    connection.retire(f"idle for {connection.retire_after:g} s, idle_retire")
                elif self._is_due(connection, now):
                    self._look(connection, now, nursery)
            except Exception as error:  # noqa: BLE001 - a fault costs one look
                note(self._record, "look at a connection", error, connection.number)
        suspects = [(c, w) for c, w in self._notes.items() if w.suspect]
        self._in_haste = any(w.grace < diagnosis.GRACE for _c, w in suspects)
        suspected = {c.reached for c, _w in suspects}
        for address in self._paths.keys() - suspected:
            del self._paths[address]

    def _is_due(self, connection: Watched, now: float) -> bool:
        """Return whether a connection's TCP_INFO is worth reading, by what has moved on it."""
        if TCP_INFO is None or connection.sock is None:
            return False
        notes = self._notes.get(connection)
        asked, answered = connection.asked, connection.answered
        if asked > answered:
            return now - asked >= WAITING
        if notes is not None and (notes.suspect or notes.eager):
            return True
        return now - answered >= self._keepalive.idle and (notes is None or now >= notes.next_look)

    def _look(self, connection: Watched, now: float, nursery: trio.Nursery) -> None:
        sock = connection.sock
        assert sock is not None
        assert TCP_INFO is not None
        notes = self._notes.setdefault(connection, _Notes())
        info = TcpInfo.parse(sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, TcpInfo.SIZE))
        waiting = connection.asked > connection.answered
        if notes.suspect:
            self._judge(connection, notes, info, now)
        elif info.is_suspicious or notes.grace < diagnosis.GRACE:
            self._suspect(connection, notes, info, nursery)
        elif (waiting or info.probes > 0) != notes.eager:
            # An unanswered probe is asked about again at once, not after the interval.
            self._set_eager(connection, notes, eager=not notes.eager)
        # When the next probe, due after so much silence, has had its time to be answered.
        notes.next_look = now + max(self._keepalive.idle - info.silence, 0) + SWEEP

    def _set_eager(self, connection: Watched, notes: _Notes, *, eager: bool) -> None:
        """Probe every second, or as configured.

        A new TCP_KEEPIDLE takes effect at once: a socket idle for longer is probed right away.
        """
        notes.eager = eager
        sock = connection.sock
        if sock is None:
            return
        idle, interval = (1, 1) if eager else (self._keepalive.idle, self._keepalive.interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)

    def _suspect(
        self, connection: Watched, notes: _Notes, info: TcpInfo, nursery: trio.Nursery
    ) -> None:
        notes.suspect = True
        self._record(
            Suspected(
                connection=connection.number,
                kind=Kind.SILENT,
                retransmits=info.retransmits,
                probes=info.probes,
                unacked=info.unacked,
                silence=info.silence,
            )
        )
        destination = connection.reached
        if destination not in self._paths:
            path = self._paths[destination] = Path(trio.current_time())
            nursery.start_soon(self._dial_again, destination, path)

    def _judge(self, connection: Watched, notes: _Notes, info: TcpInfo, now: float) -> None:
        path = self._paths.get(connection.reached)
        if path is None:  # the ClientHello went to another address, whose connection is a new one
            notes.suspect = False
            return
        verdict = path.judge(info, now, notes.grace)
        if verdict is Verdict.CLEAR:
            notes.suspect = False
            notes.grace = diagnosis.GRACE
            self._record(Cleared(connection=connection.number))
        elif verdict is Verdict.DEAD:
            notes.suspect = False
            cause = f"no ACK for {info.silence:.0f} s, but a new connection is answered"
            connection.lose(ForgottenError(errno.ETIMEDOUT, cause))

    async def _dial_again(self, destination: Endpoint, path: Path) -> None:
        """Dial the destination every other second while it has suspects.

        A dial that cannot be made, for want of descriptors too, shows nothing of the network: it
        misses its turn, and the suspects wait.
        """
        while self._paths.get(destination) is path:
            with contained(self._record, "dial to a suspect's destination"):
                await self._try(destination, path)
            with trio.move_on_after(SWEEP if path.is_down else AGAIN):
                await self._network.wait()

    async def _try(self, destination: Endpoint, path: Path) -> None:
        """Dial once; raises OSError if that is not possible.

        Policy may have become tighter since the connections were made: what nobody may dial any
        more is not dialled, and they wait until the kernel gives them up, or are answered.
        """
        asked = self._allowed(destination)
        if asked is None:
            return
        began = trio.current_time()
        if await self._answers(asked, destination[0]):
            down = path.answered(began, trio.current_time())
            if down is not None:
                self._record(PathUp(address=destination[0], seconds=down))
                self._make_speak(destination)
        elif path.unanswered(began):
            self._record(PathDown(address=destination[0]))

    def _allowed(self, end: Endpoint) -> Destination | None:
        """Return what a suspect asked for that may be dialled again where it ended; else None."""
        for connection, notes in self._notes.items():
            if notes.suspect and connection.reached == end:
                verdict = self._door.judge(connection.destination, end[0])
                if isinstance(verdict, Allow):
                    return connection.destination
        return None

    async def _answers(self, destination: Destination, address: str) -> bool:
        """Dial once; a refusal is an answer too."""
        with (
            trio.move_on_after(DIAL),
            stream(socket.AF_INET) as sock,
        ):
            resets_on_close(sock)
            number = await self._door.connect(sock, destination, address)
            return number == 0 or number in _REFUSED
        return False

    def _make_speak(self, destination: Endpoint) -> None:
        """Probe the held connections at once; those with data outstanding retransmit it soon."""
        for connection, notes in self._notes.items():
            if notes.suspect and connection.reached == destination:
                self._set_eager(connection, notes, eager=True)


def _is_to_retire(connection: Watched, now: float) -> bool:
    """Return whether upstream spoke last, and longer ago than its destination's idle_retire."""
    idle = (
        connection.answered > connection.asked
        and now - connection.answered >= connection.retire_after
    )
    return idle and connection.may_retire
