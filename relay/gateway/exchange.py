"""One request, from its head to the end of its answer: ask, hold back, hand over, ask again.

The outcome of a try is a value: None when the answer was given, else its loss. resend.py decides
whether there is another try, hold.py what of a streamed answer may be handed over.
"""

import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import trio

from relay.gateway import http as fields
from relay.gateway import resend
from relay.gateway.downstream.connection import Downstream
from relay.gateway.downstream.filler import keep_patient
from relay.gateway.hold import Answer
from relay.gateway.http import LostError, Request, Response, Stream, UntrustedError
from relay.gateway.resend import LostAnswer
from relay.gateway.setup.prepare import Prepared
from relay.gateway.upstream.pool import Pool
from relay.outbound.patience import DialError
from relay.record.events import AskedAgain, Event, RequestLost, Saw
from relay.record.kinds import Kind

HELD: Final = 32 * 1024 * 1024
"""Bytes of an answer that is no stream of events, held until it is complete."""

_ERROR_TEXT: Final = 64 * 1024


@dataclass(eq=False)
class Exchange:
    """One request and its answer."""

    request: Request
    _downstream: Downstream
    _pool: Pool
    """Of the origin that is asked."""
    _prepared: Prepared
    _number: int
    """Of the program's connection."""
    _nursery: trio.Nursery
    """For tasks beside the exchange; they end with it."""
    _record: Callable[[Event], None]

    def __post_init__(self) -> None:
        """Derive the request that is sent from the one that was received."""
        self._dialect = self._pool.origin.dialect
        self._method = self.request.method.decode("latin-1")
        self._rules = self._dialect.rules(self._method, self.request.path, self._pool.origin.prefix)
        kept = fields.end_to_end(self.request.fields, b"host", b"expect")
        if self._rules.is_repeatable:
            kept = fields.asking_identity(kept)
        self._forwarded = replace(self.request, fields=kept)
        self._limit = trio.CancelScope()
        self._resends = 0
        self._is_committed = False
        self._is_answered = False  # by a status that says that upstream works
        self._streamed: Answer | None = None
        """What is being held back, once the program has the head of a stream."""

    async def run(self) -> None:
        """Answer the program, or show it the loss."""
        while (loss := await self._try_in_time()) is not None:
            state = resend.State(
                is_repeatable=self._rules.is_repeatable,
                may_be_processed=loss.may_be_processed,
                is_committed=self._is_committed,
                is_kept=self._downstream.body.is_kept,
                resends=self._resends,
                is_final=loss.is_final,
                retry_after=loss.retry_after,
            )
            verdict = resend.decide(state, random.random, self._prepared.patience)
            if isinstance(verdict, resend.Resend) and not self._pool.budget.lose(
                self, trio.current_time(), is_streamed=self._streamed is not None
            ):
                verdict = resend.BUDGET_SPENT
            if isinstance(verdict, resend.DoNotResend):
                await self._give_up(loss, verdict.why)
                return
            self._resends += 1
            self._record(
                AskedAgain(
                    connection=self._number,
                    method=self._method,
                    path=self.request.path,
                    kind=loss.kind,
                    cause=loss.cause,
                    resends=self._resends,
                    may_be_billed=loss.may_be_processed and self._rules.is_billed,
                )
            )
            await trio.sleep(verdict.pause)
        if self._is_answered:
            self._pool.budget.answered(is_streamed=self._streamed is not None)

    async def _try_in_time(self) -> LostAnswer | None:
        """Try once; an answer whose head the program has must begin anew within patience.

        The limit ends with the head of the new answer: _take() sets the deadline of the scope to
        infinity as soon as it has it, without a checkpoint in between. If both are due at once, the
        deadline was first, and the try is lost: its stream is closed on the way out, so that
        nothing of two answers can be mixed.
        """
        limit = self._prepared.patience if self._downstream.has_head else math.inf
        with trio.move_on_after(limit) as self._limit:
            return await self._try()
        return LostAnswer("no new answer in time", Kind.TIMEOUT, is_final=True)

    async def _try(self) -> LostAnswer | None:
        """Ask once.

        Sending and receiving run side by side, for upstream may answer before it has all of the
        request: an early answer (RFC 9112 section 9.3) is given, and ends both, so that no more of
        the body is sent. The task that receives is the one that is started, because a started task
        runs at the next checkpoint only, and the request is to go out at once. If the last byte is
        sent while the answer ends, either may be first: the outcome is that of the answer in both
        cases, since send() reports no loss itself.

        If the program goes away, the scope of the whole exchange is cancelled, and the stream is
        closed on the way out: over HTTP/2 by RST_STREAM, over HTTP/1.1 with the connection.
        """
        loss: LostAnswer | None = None

        async def take_answer() -> None:
            nonlocal loss
            loss = await self._take(stream)
            if loss is not None:
                stream.condemn()
            nursery.cancel_scope.cancel()

        try:
            async with self._pool.stream() as stream, trio.open_nursery() as nursery:
                nursery.start_soon(take_answer)
                await stream.send(self._forwarded, self._downstream.body)
        except DialError as error:
            return LostAnswer(error.cause, error.kind, may_be_processed=False, is_final=True)
        except UntrustedError as error:
            cause = f"the certificate of {self._pool.origin.host} is not trusted: {error}"
            return LostAnswer(cause, error.kind, may_be_processed=False, is_final=True)
        except LostError as error:  # before there was a stream
            return LostAnswer(error.cause, error.kind, error.may_be_processed)
        return loss

    async def _take(self, stream: Stream) -> LostAnswer | None:
        """Hand the answer over as far as may be."""
        try:
            response = await stream.response()
            self._limit.deadline = math.inf
            self._is_answered = not self._dialect.is_passing(response.status)
            response = replace(response, fields=fields.end_to_end(response.fields))
            if self._rules.is_streamed and response.status == 200 and self._is_stream(response):
                return await self._stream_of_events(response, stream)
            if self._downstream.has_head:
                return await self._status_too_late(response, stream)
            if self._rules.is_repeatable and _is_bounded(response):
                await self._whole(response, stream)
            else:
                await self._live(response, stream)
        except LostError as error:
            return LostAnswer(error.cause, error.kind, error.may_be_processed)
        return None

    def _is_stream(self, response: Response) -> bool:
        """Return whether an answer is a stream that the dialect can read."""
        is_kind = fields.media_type(response.fields) == self._dialect.stream_type
        return is_kind and fields.is_plain(response.fields)

    async def _live(self, response: Response, stream: Stream) -> None:
        """Pass on as it comes."""
        self._downstream.head(response)
        await self._downstream.flush()
        self._is_committed = True
        await self._downstream.pass_on(stream)

    async def _whole(self, response: Response, stream: Stream) -> None:
        """Pass on when it is complete, or when it is too much to hold."""
        held: list[bytes] = []
        size = 0
        while size <= HELD and (data := await self._receive(stream)):
            held.append(data)
            size += len(data)
        self._downstream.head(response)
        self._is_committed = True
        for piece in held:
            await self._downstream.data(piece)
        held.clear()
        await self._downstream.pass_on(stream)

    async def _receive(self, stream: Stream) -> bytes:
        """Return more of an answer that may not be silent for long; raises LostError."""
        with trio.move_on_after(self._prepared.silence):
            return await stream.receive()
        raise LostError(f"silent for {self._prepared.silence:g} s", Kind.SILENT)

    async def _stream_of_events(self, response: Response, stream: Stream) -> LostAnswer | None:
        """Hand a stream over, event by event, as far as it need not be asked for again."""
        answer = self._streamed = Answer(self._prepared.hold, self._dialect.reader())
        if not self._downstream.has_head:
            unbounded = fields.without(response.fields, b"content-length")
            self._downstream.head(replace(response, fields=unbounded))
            self._nursery.start_soon(
                keep_patient, self._downstream, self._dialect, self._wants_filler
            )
        data = b"first"
        while data:
            try:
                data = await self._receive(stream)
            except LostError:
                if not answer.is_complete:
                    raise
                data = b""
            step = answer.receive(data) if data else answer.end()
            is_first = not self._is_committed and answer.committed
            self._is_committed = answer.committed
            if step.deliver:
                await self._downstream.data(step.deliver)
                if is_first:  # whom this has woken may have to wait for our processor
                    os.sched_yield()
            if step.loss is not None:
                return LostAnswer(step.loss, step.kind, error=step.error)
        await self._downstream.end(stream.trailers)
        return None

    async def _status_too_late(self, response: Response, stream: Stream) -> LostAnswer:
        """Take an answer that is no stream after a stream was promised: only an error is left."""
        text = b""
        with trio.move_on_after(self._prepared.silence):
            while len(text) < _ERROR_TEXT and (data := await stream.receive()):
                text += data
        return LostAnswer(
            f"status {response.status} after a loss",
            Kind.STATUS,
            is_final=not self._dialect.is_passing(response.status),
            error=self._dialect.as_error_event(text),
            retry_after=fields.retry_after(response.fields),
        )

    async def _give_up(self, loss: LostAnswer, why: str) -> None:
        """Show the program a loss that cannot be hidden: never as a clean end."""
        downstream = self._downstream
        # A status would invite the client to repeat what may have been processed.
        is_unsafe = loss.may_be_processed and not self._rules.is_repeatable
        if self._is_committed or (not downstream.has_head and is_unsafe):
            saw: Saw = "reset"
            if self._streamed is not None and self._prepared.hold != "message":
                why += "; --hold=message would have held it back"
            downstream.abort()
        elif downstream.has_head:
            saw = "error event"
            await downstream.data(loss.error or self._dialect.error_event(self._message(loss)))
            await downstream.end([])
        else:
            saw = "status 502"
            message, is_trusted = self._message(loss), loss.kind is not Kind.UNTRUSTED
            await downstream.fail(*self._dialect.error_fields(message, retry=is_trusted))
        self._record(
            RequestLost(
                connection=self._number,
                method=self._method,
                path=self.request.path,
                kind=loss.kind,
                cause=loss.cause,
                resends=self._resends,
                saw=saw,
                why=why,
            )
        )

    def _message(self, loss: LostAnswer) -> str:
        """Return what a person reads in the program's output."""
        if loss.kind is Kind.UNTRUSTED:
            return f"{loss.cause}; name its CA in SSL_CERT_FILE, or use --gateway=off"
        host = self._pool.origin.host
        tries = f"{self._resends + 1} times" if self._resends else "once"
        return f"no answer from {host}: {loss.cause} (asked {tries}; see keepline explain)"

    def _wants_filler(self) -> bool:
        """Return whether the program waits for content, and filler may be put in now.

        The current Answer is also right between two tries: the lost one still holds, and nothing of
        it was committed.
        """
        answer = self._streamed
        return answer is not None and answer.wants_filler and answer.may_insert


def _is_bounded(response: Response) -> bool:
    length = fields.length(response.fields)
    is_json = fields.media_type(response.fields) == b"application/json"
    return (length is not None and length <= HELD) or is_json
