"""Finds upstream connections that are dead, and holds those that only an outage keeps silent.

Once a second it looks at two numbers of each connection; TCP_INFO is read only of those that wait
for an answer or have been idle for as long as keepalive takes. diagnosis.py judges.
"""

import errno
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import trio

from relay.host.network import SleepDetector, Weather
from relay.outbound.standing import Line
from relay.record.events import Cleared, Event, PathDown, PathUp, Slept, Suspected
from relay.record.kinds import ForgottenError, Kind
from relay.sockets import KeepAlive, resets_on_close
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
class _Watched:
    """What is remembered of a connection from one look to the next."""

    next_look: float = 0.0
    """When its TCP_INFO is read again although it waits for nothing."""
    eager: bool = False
    """Whether it is probed every second."""
    suspect: bool = False
    grace: float = diagnosis.GRACE


class Liveness:
    """Watches the connections of a session."""

    def __init__(
        self,
        lines: Collection[Line],
        keepalive: KeepAlive,
        weather: Weather,
        record: Callable[[Event], None],
        sleep: SleepDetector,
    ) -> None:
        """Keep what watch() needs."""
        self._lines = lines
        self._keepalive = keepalive
        self._weather = weather
        self._record = record
        self._sleep = sleep
        self._watched: dict[Line, _Watched] = {}
        self._paths: dict[tuple[str, int], Path] = {}
        self._in_haste = False

    async def watch(self) -> None:
        """Look at all connections, once a second, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(HASTE if self._in_haste else SWEEP)
                slept = self._sleep.slept()
                if slept:
                    self._record(Slept(seconds=slept))
                    self._probe_all(diagnosis.GRACE_AFTER_SLEEP)
                    self._weather.changed()
                self._sweep(nursery)

    def network_changed(self) -> None:
        """Probe all connections at once: the way to their peers may be another one now."""
        self._probe_all(diagnosis.GRACE)

    def _probe_all(self, grace: float) -> None:
        for line in self._lines:
            watched = self._watched.setdefault(line, _Watched())
            watched.grace = min(watched.grace, grace)
            watched.next_look = 0.0
            if not watched.eager:
                self._set_eager(line, watched, eager=True)

    def _sweep(self, nursery: trio.Nursery) -> None:
        now = trio.current_time()
        for gone in self._watched.keys() - set(self._lines):
            del self._watched[gone]
        for line in tuple(self._lines):
            if _is_to_retire(line, now):
                line.retire(f"idle for {line.retire_after:g} s, idle_retire")
            elif self._is_due(line, now):
                self._look(line, now, nursery)
        suspects = [(c, w) for c, w in self._watched.items() if w.suspect]
        self._in_haste = any(w.grace < diagnosis.GRACE for _c, w in suspects)
        suspected = {_destination(c) for c, _w in suspects}
        for address in self._paths.keys() - suspected:
            del self._paths[address]

    def _is_due(self, line: Line, now: float) -> bool:
        """Tell whether a connection's TCP_INFO is worth reading, by what has moved on it."""
        if line.sock is None:
            return False
        watched = self._watched.get(line)
        asked, answered = line.asked, line.answered
        if asked > answered:
            return now - asked >= WAITING
        if watched is not None and (watched.suspect or watched.eager):
            return True
        return now - answered >= self._keepalive.idle and (
            watched is None or now >= watched.next_look
        )

    def _look(self, line: Line, now: float, nursery: trio.Nursery) -> None:
        sock = line.sock
        assert sock is not None
        watched = self._watched.setdefault(line, _Watched())
        info = TcpInfo.parse(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TcpInfo.SIZE))
        waiting = line.asked > line.answered
        if watched.suspect:
            self._judge(line, watched, info, now)
        elif info.is_suspicious or watched.grace < diagnosis.GRACE:
            self._suspect(line, watched, info, nursery)
        elif (waiting or info.probes > 0) != watched.eager:
            # An unanswered probe is asked about again at once, not after the interval.
            self._set_eager(line, watched, eager=not watched.eager)
        # When the next probe, due after so much silence, has had its time to be answered.
        watched.next_look = now + max(self._keepalive.idle - info.silence, 0) + SWEEP

    def _set_eager(self, line: Line, watched: _Watched, *, eager: bool) -> None:
        """Probe every second, or as configured.

        A new TCP_KEEPIDLE takes effect at once: a socket idle for longer is probed right away.
        """
        watched.eager = eager
        sock = line.sock
        if sock is None:
            return
        idle, interval = (1, 1) if eager else (self._keepalive.idle, self._keepalive.interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)

    def _suspect(self, line: Line, watched: _Watched, info: TcpInfo, nursery: trio.Nursery) -> None:
        watched.suspect = True
        self._record(
            Suspected(
                connection=line.number,
                kind=Kind.SILENT,
                retransmits=info.retransmits,
                probes=info.probes,
                unacked=info.unacked,
                silence=info.silence,
            )
        )
        destination = _destination(line)
        if destination not in self._paths:
            path = self._paths[destination] = Path(trio.current_time())
            nursery.start_soon(self._dial_again, destination, path)

    def _judge(self, line: Line, watched: _Watched, info: TcpInfo, now: float) -> None:
        path = self._paths[_destination(line)]
        verdict = path.judge(info, now, watched.grace)
        if verdict is Verdict.CLEAR:
            watched.suspect = False
            watched.grace = diagnosis.GRACE
            self._record(Cleared(connection=line.number))
        elif verdict is Verdict.DEAD:
            watched.suspect = False
            cause = f"no ACK for {info.silence:.0f} s, but a new connection is answered"
            line.lose(ForgottenError(errno.ETIMEDOUT, cause))

    async def _dial_again(self, destination: tuple[str, int], path: Path) -> None:
        """See whether the destination answers, every other second while it has suspects."""
        while self._paths.get(destination) is path:
            began = trio.current_time()
            if await _answers(destination):
                down = path.answered(began, trio.current_time())
                if down is not None:
                    self._record(PathUp(address=destination[0], seconds=down))
                    self._make_speak(destination)
            elif path.unanswered(began):
                self._record(PathDown(address=destination[0]))
            with trio.move_on_after(SWEEP if path.is_down else AGAIN):
                await self._weather.wait()

    def _make_speak(self, destination: tuple[str, int]) -> None:
        """Probe the held connections at once; those with data outstanding retransmit it soon."""
        for line, watched in self._watched.items():
            if watched.suspect and _destination(line) == destination:
                self._set_eager(line, watched, eager=True)


def _is_to_retire(line: Line, now: float) -> bool:
    """Tell whether upstream spoke last, and longer ago than its destination's idle_retire."""
    idle = line.answered > line.asked and now - line.answered >= line.retire_after
    return idle and line.may_retire


def _destination(line: Line) -> tuple[str, int]:
    """Give the upstream address and port that a connection has reached."""
    return line.reached, line.port


async def _answers(destination: tuple[str, int]) -> bool:
    """Dial once; a refusal is an answer too."""
    with (
        trio.move_on_after(DIAL),
        socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock,
    ):
        resets_on_close(sock)
        number = sock.connect_ex(destination)
        if number == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return number == 0 or number in _REFUSED
    return False
