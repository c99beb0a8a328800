"""The HTTP endpoint of a pod's relay: /ready and /live for probes, /metrics for Prometheus.

It listens on every address, since a kubelet and a Prometheus come from outside the pod; so does
whoever else reaches it. Nothing that it says names a host, a program or an address.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import h11
import trio

from relay.barrier import Record, contained
from relay.inbound.accepting import Acceptor
from relay.record.metrics import Metrics
from relay.sidecar.endpoint import exposition
from relay.sidecar.rules_watch import RulesWatch

SECONDS: Final = 10.0
"""For a request and its answer, together."""

MOST: Final = 32
"""Requests at a time; for a further one that which has taken longest is broken off. So whoever says
nothing on many connections keeps no probe away, which takes a millisecond."""

_PIECE: Final = 4096
_LONGEST: Final = 16384
"""Bytes of a request's head."""
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    body: bytes
    content_type: str = _TEXT


@dataclass(eq=False)
class Endpoint:
    """Answers one request a connection."""

    listener: socket.socket
    rules: RulesWatch
    metrics: Metrics
    record: Record
    is_ending: Callable[[], bool] = lambda: False
    """Whether the relay drains: others are to send it no more."""
    _busy: dict[trio.CancelScope, None] = field(default_factory=dict)
    """Those under way, the oldest first."""

    async def serve(self) -> None:
        """Serve until cancelled; raises OSError."""
        async with trio.open_nursery() as nursery:

            def take(sock: socket.socket, _source: object) -> None:
                if len(self._busy) >= MOST:
                    oldest = next(iter(self._busy))
                    oldest.cancel()
                    del self._busy[oldest]
                scope = trio.CancelScope(deadline=trio.current_time() + SECONDS)
                self._busy[scope] = None
                nursery.start_soon(self._serve, sock, scope)

            await Acceptor(self.listener, "the HTTP endpoint", self.record).serve(take)

    async def _serve(self, sock: socket.socket, scope: trio.CancelScope) -> None:
        """Serve a connection to its end, and close it."""
        try:
            with contained(self.record, "HTTP endpoint"), scope:
                await self._converse(trio.SocketStream(trio.socket.from_stdlib_socket(sock)))
        finally:
            self._busy.pop(scope, None)
            sock.close()

    async def _converse(self, stream: trio.SocketStream) -> None:
        """Read a request and answer it; whoever breaks off has no answer."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_LONGEST)
        try:
            request = await _request(connection, stream)
            if request is None:
                return
            answer = await self._answer(request)
        except h11.RemoteProtocolError as error:
            request, answer = None, _Answer(HTTPStatus(error.error_status_hint), b"")
        try:
            await stream.send_all(_written(connection, request, answer))
        except trio.BrokenResourceError:
            return

    async def _answer(self, request: h11.Request) -> _Answer:
        if request.method not in (b"GET", b"HEAD"):
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD are answered\n")
        path = request.target.partition(b"?")[0]
        answering = {b"/ready": self._ready, b"/live": _live, b"/metrics": self._metrics}.get(path)
        if answering is None:
            return _Answer(HTTPStatus.NOT_FOUND, b"/ready, /live and /metrics are here\n")
        return await answering()

    async def _ready(self) -> _Answer:
        lacking = "it is ending" if self.is_ending() else await self.rules.look()
        if lacking:
            return _Answer(HTTPStatus.SERVICE_UNAVAILABLE, f"not ready: {lacking}\n".encode())
        return _Answer(HTTPStatus.OK, b"ready\n")

    async def _metrics(self) -> _Answer:
        text = exposition.rendered(self.metrics)
        return _Answer(HTTPStatus.OK, text, exposition.CONTENT_TYPE)


async def _live() -> _Answer:
    """Answer: that it is answered is what was asked."""
    return _Answer(HTTPStatus.OK, b"live\n")


async def _request(connection: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
    """Return the request's head; None if the client is gone. Raises h11.RemoteProtocolError."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        try:
            connection.receive_data(await stream.receive_some(_PIECE))
        except trio.BrokenResourceError:
            return None


def _written(connection: h11.Connection, request: h11.Request | None, answer: _Answer) -> bytes:
    """Return the bytes of an answer, after which the connection ends."""
    head = h11.Response(
        status_code=answer.status,
        headers=[
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Connection", "close"),
        ],
        reason=answer.status.phrase,
    )
    is_head = request is not None and request.method == b"HEAD"
    body = b"" if is_head else answer.body
    parts = [connection.send(head)]
    parts += [connection.send(each) for each in (h11.Data(data=body), h11.EndOfMessage())]
    return b"".join(part for part in parts if part)
