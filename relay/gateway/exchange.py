"""One request, from its head to the end of its answer: ask, hold back, hand over, ask again.

What a try comes to is a value: None when the answer was given, else its loss. resend.py says
whether there is another try, hold.py what of a streamed answer may be handed over.
"""

import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from relay.gateway import http as fields
from relay.gateway import resend, sse
from relay.gateway.body import Body
from relay.gateway.downstream.connection import Program
from relay.gateway.hold import Answer, Hold
from relay.gateway.http import (
    LostError,
    Request,
    Response,
    Stream,
    UntrustedError,
)
from relay.gateway.setup.choice import is_messages, listed
from relay.gateway.upstream.pool import Pool
from relay.outbound.patience import DialError
from relay.record.events import AskedAgain, Event, RequestLost, Saw
from relay.record.kinds import Kind

PING_EVERY: Final = 10.0
"""Seconds without a byte to the program, while it waits for what is held back."""

HEAD_WAITS: Final = 0.005
"""Seconds that a stream's head waits for its first content: one write wakes the program once."""

HELD: Final = 32 * 1024 * 1024
"""Bytes of an answer that is no stream of events, held until it is complete."""

_ERROR_TEXT: Final = 64 * 1024


@dataclass(frozen=True)
class Terms:
    """What holds for all requests of a session."""

    hold: Hold
    silence: float
    """Seconds without a byte in an answer that has begun after which it counts as lost; not where
    it is passed on as it comes, and can be neither read nor asked for again."""
    patience: float
    """Seconds in which a lost answer must have begun anew, once the program was told of one."""
    record: Callable[[Event], None]


@dataclass(frozen=True)
class _Loss:
    """What a try came to that gave no answer."""

    cause: str
    kind: Kind
    may_be_processed: bool = True
    is_final: bool = False
    """Whether no other try will help: patience has ended, or the certificate is not trusted."""
    is_trusted: bool = True
    error: bytes = b""
    """The SSE error event that upstream gave instead, for when there is no other try."""


@dataclass(eq=False)
class Exchange:
    """One request and its answer."""

    request: Request
    _body: Body
    _program: Program
    _pool: Pool
    """Of the upstream that is asked."""
    _terms: Terms
    _number: int
    """Of the program's connection."""
    _nursery: trio.Nursery
    """For what is done beside; it ends with the exchange."""

    def __post_init__(self) -> None:
        """Make what is sent on of what was received."""
        method, prefix = self.request.method.decode("latin-1"), self._pool.upstream.prefix
        self._is_listed = listed(method, self.request.path, prefix)
        self._is_messages = is_messages(method, self.request.path, prefix)
        self._request = _forwarded(self.request, identity=self._is_listed)
        self._limit = trio.CancelScope()
        self._resends = 0
        self._is_committed = False
        self._streamed: Answer | None = None
        """What is being held back, once the program was told of a stream."""

    async def run(self) -> None:
        """Give the program an answer, or its loss."""
        while (loss := await self._try_in_time()) is not None:
            state = resend.State(
                is_listed=self._is_listed,
                may_be_processed=loss.may_be_processed,
                is_committed=self._is_committed,
                is_kept=self._body.is_kept,
                resends=self._resends,
            )
            verdict = resend.decide(state, random.random)
            if isinstance(verdict, resend.GiveUp):
                await self._give_up(loss, verdict.why)
                return
            if loss.is_final:
                await self._give_up(loss)
                return
            self._resends += 1
            self._terms.record(
                AskedAgain(
                    connection=self._number,
                    method=self._request.method.decode("latin-1"),
                    path=self._request.path,
                    cause=loss.cause,
                    kind=loss.kind,
                    resends=self._resends,
                    may_be_billed=loss.may_be_processed and self._is_messages,
                )
            )
            await trio.sleep(verdict.pause)

    async def _try_in_time(self) -> _Loss | None:
        """Try once; what the program was told of must begin anew within patience."""
        limit = self._terms.patience if self._program.has_said_head else math.inf
        with trio.move_on_after(limit) as self._limit:
            return await self._try()
        return _Loss("no new answer in time", Kind.TIMEOUT, is_final=True)

    async def _try(self) -> _Loss | None:
        """Ask once."""
        loss: _Loss | None = None

        async def take_answer() -> None:
            nonlocal loss
            loss = await self._answered(stream)
            if loss is not None:
                stream.condemn()
            nursery.cancel_scope.cancel()  # an early answer: the rest is not wanted

        try:
            async with self._pool.stream() as stream, trio.open_nursery() as nursery:
                nursery.start_soon(take_answer)  # not send: what is started waits for its turn
                await stream.send(self._request, self._body)
        except DialError as error:
            return _Loss(error.cause, error.kind, may_be_processed=False, is_final=True)
        except UntrustedError as error:
            cause = f"the certificate of {self._pool.upstream.host} is not trusted: {error}"
            return _Loss(cause, error.kind, may_be_processed=False, is_final=True, is_trusted=False)
        except LostError as error:  # before there was a stream
            return _Loss(error.cause, error.kind, error.may_be_processed)
        return loss

    async def _answered(self, stream: Stream) -> _Loss | None:
        """Hand the answer over as far as may be."""
        try:
            response = await stream.response()
            self._limit.deadline = math.inf
            response = Response(
                response.status, fields.end_to_end(response.fields), response.reason
            )
            is_stream = fields.is_event_stream(response.fields)
            if self._is_messages and response.status == 200 and is_stream:
                return await self._stream_of_events(response, stream)
            if self._program.has_said_head:
                return await self._status_too_late(response, stream)
            if self._is_listed and _is_bounded(response):
                await self._whole(response, stream)
            else:
                await self._live(response, stream)
        except LostError as error:
            return _Loss(error.cause, error.kind, error.may_be_processed)
        return None

    async def _live(self, response: Response, stream: Stream) -> None:
        """Pass on as it comes."""
        self._program.head(response)
        await self._program.flush()
        self._is_committed = True
        while data := await stream.receive():
            await self._program.data(data)
        await self._program.end(stream.trailers)

    async def _whole(self, response: Response, stream: Stream) -> None:
        """Pass on when it is complete, or when it is too much to hold."""
        held: list[bytes] = []
        size = 0
        data = b"first"
        while data and size <= HELD:
            data = await self._heard(stream)
            held.append(data)
            size += len(data)
        self._program.head(response)
        self._is_committed = True
        for piece in filter(None, held):
            await self._program.data(piece)
        held.clear()
        while data and (data := await stream.receive()):
            await self._program.data(data)
        await self._program.end(stream.trailers)

    async def _heard(self, stream: Stream) -> bytes:
        """Give more of an answer that may not be silent for long; raises LostError."""
        with trio.move_on_after(self._terms.silence):
            return await stream.receive()
        raise LostError(f"silent for {self._terms.silence:g} s", Kind.SILENT)

    async def _stream_of_events(self, response: Response, stream: Stream) -> _Loss | None:
        """Hand a message over, event by event, as far as it may not have to be asked for again."""
        answer = self._streamed = Answer(self._terms.hold)
        if not self._program.has_said_head:
            plain = fields.without(response.fields, b"content-length")
            self._program.head(Response(response.status, plain, response.reason))
            self._nursery.start_soon(self._keep_awake)
        data = b"first"
        while data:
            try:
                data = await self._heard(stream)
            except LostError:
                if not answer.is_complete:
                    raise
                data = b""
            step = answer.receive(data) if data else answer.end()
            is_first = not self._is_committed and answer.committed
            self._is_committed = answer.committed
            if step.deliver:
                await self._program.data(step.deliver)
                if is_first:  # whom this has woken may have to wait for our processor
                    os.sched_yield()
            if step.loss is not None:
                return _Loss(step.loss, step.kind, error=step.error)
        await self._program.end(stream.trailers)
        return None

    async def _status_too_late(self, response: Response, stream: Stream) -> _Loss:
        """Take an answer that is no stream after a stream was promised: it is an error by now."""
        text = b""
        with trio.move_on_after(self._terms.silence):
            while len(text) < _ERROR_TEXT and (data := await stream.receive()):
                text += data
        passing = response.status in {408, 409, 429} or response.status >= 500
        cause = f"status {response.status} after a loss"
        error = sse.as_error_event(text)
        return _Loss(cause, Kind.STATUS, is_final=not passing, error=error)

    async def _give_up(self, loss: _Loss, why: str = "") -> None:
        """Tell the program of a loss that cannot be hidden: never as a clean end."""
        program = self._program
        if self._is_committed or (not program.has_said_head and self._must_be_a_reset(loss)):
            saw: Saw = "reset"
            if self._streamed is not None and self._terms.hold != "message":
                why += "; --hold=message would have held it back"
            program.abort()
        elif program.has_said_head:
            saw = "error event"
            await program.data(loss.error or sse.error_event("api_error", _message(loss, self)))
            await program.end([])
        else:
            saw = "status 502"
            await program.fail(_message(loss, self), retry=loss.is_trusted)
        self._terms.record(
            RequestLost(
                connection=self._number,
                method=self._request.method.decode("latin-1"),
                path=self._request.path,
                cause=loss.cause,
                kind=loss.kind,
                resends=self._resends,
                saw=saw,
                why=why,
            )
        )

    def _must_be_a_reset(self, loss: _Loss) -> bool:
        """Tell whether it may have been processed and may not be repeated: a status asks for it."""
        return loss.may_be_processed and not self._is_listed

    async def _keep_awake(self) -> None:
        """Give a stream's head, and pings for the program's watchdogs while it is held back."""
        await trio.sleep(HEAD_WAITS)
        await self._program.flush()
        due = self._program.written + PING_EVERY
        while True:
            await trio.sleep_until(due)
            due = self._program.written + PING_EVERY
            if trio.current_time() >= due:
                await self._program.ping(sse.PING, if_wanted=self._wants_ping)
                due = trio.current_time() + PING_EVERY

    def _wants_ping(self) -> bool:
        answer = self._streamed
        return answer is not None and answer.wants_pings and answer.may_ping


def _forwarded(request: Request, *, identity: bool) -> Request:
    """Make what is sent on of what was received."""
    kept = fields.end_to_end(request.fields, b"host", b"expect")
    if identity:
        kept = fields.asking_identity(kept)
    return Request(request.method, request.target, kept, request.is_framed)


def _is_bounded(response: Response) -> bool:
    length = fields.length(response.fields)
    return (length is not None and length <= HELD) or fields.is_json(response.fields)


def _message(loss: _Loss, exchange: Exchange) -> str:
    """Say it to a person who reads it in the program's output."""
    host = exchange._pool.upstream.host  # noqa: SLF001 - of this module
    if not loss.is_trusted:
        return f"{loss.cause}; name its CA in SSL_CERT_FILE, or use --gateway=off"
    tries = exchange._resends + 1  # noqa: SLF001
    return f"no answer from {host}: {loss.cause} (asked {tries} times; see keepline explain)"
