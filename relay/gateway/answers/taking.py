"""One answer is taken from upstream and handed to the program, as far as the holding rule lets it.

A `Taking` lasts for all tries of a request: what the program has of the first binds the others.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from relay.config import Hold
from relay.gateway import http as fields
from relay.gateway.answers.hold import Answer, Step
from relay.gateway.answers.manners import FILLED, LEAST, Manners
from relay.gateway.answers.pieces import Pieces
from relay.gateway.bounds.bucket import FLOODED, Bucket
from relay.gateway.bounds.room import Room, Share
from relay.gateway.dialect import Dialect, Rules
from relay.gateway.downstream.connection import Downstream
from relay.gateway.downstream.filler import keep_patient
from relay.gateway.http import LostError, Response, Stream
from relay.gateway.resend import LostAnswer
from relay.record.kinds import Kind

HELD: Final = 32 * 1024 * 1024
"""Bytes of an answer that is no stream of events, held until it is complete."""

_ERROR_TEXT: Final = 64 * 1024

_SLICE: Final = 8 * 1024
"""Bytes of a stream that are read at once, as others wait meanwhile: each may be an event."""


def lost(error: LostError) -> LostAnswer:
    """Return the outcome of a try that ended so."""
    is_lasting = error.is_lasting
    return LostAnswer(error.cause, error.kind, error.may_be_processed, is_lasting, is_lasting)


@dataclass(eq=False)
class Taking:
    """Takes the answer to one request."""

    downstream: Downstream
    dialect: Dialect
    rules: Rules
    manners: Manners
    """Of the origin that is asked."""
    hold: Hold
    silence: float | None
    """The limit that was set, in seconds; None if none was."""
    room: Room
    """What all answers together may take of memory."""
    nursery: trio.Nursery
    """For tasks beside the exchange; they end with it."""
    is_committed: bool = False
    """Whether the program has something of the answer's content."""
    is_answered: bool = False
    """Whether upstream has answered, with a status that says that it works."""
    streamed: Answer | None = None
    """What is being held back, once the program has the head of a stream."""
    _silent_tries: int = field(default=0, init=False)

    async def take(self, stream: Stream, begun: Callable[[], None]) -> LostAnswer | None:
        """Hand the answer over as far as may be; `begun` is called once its head has come."""
        try:
            response = await stream.response()
            begun()
            self.is_answered = not self.dialect.is_passing(response.status)
            response = replace(response, fields=fields.end_to_end(response.fields))
            if self.rules.is_streamed and response.status == 200 and self._is_stream(response):
                return await self._stream_of_events(response, stream)
            if self.downstream.has_head:
                return await self._status_too_late(response, stream)
            if self.rules.is_repeatable and _is_bounded(response):
                await self._whole(response, stream)
            else:
                await self._live(response, stream)
        except LostError as error:
            return lost(error)
        return None

    def _is_stream(self, response: Response) -> bool:
        """Return whether an answer is a stream that the dialect can read."""
        kind = fields.media_type(response.fields)
        return kind == self.dialect.stream_type and fields.is_plain(response.fields)

    async def _live(self, response: Response, stream: Stream) -> None:
        """Pass on as it comes."""
        self.downstream.head(response)
        await self.downstream.flush()
        self.is_committed = True
        await self.downstream.pass_on(stream)

    async def _whole(self, response: Response, stream: Stream) -> None:
        """Pass on when it is complete, or when it is too much to hold."""
        held, share = Pieces(), Share(self.room)
        try:
            while share.hold(held.size) and held.size <= HELD:
                data = await self._receive(stream)
                held.add(data)
                if not data:
                    break
            self.downstream.head(response)
            self.is_committed = True
            await self._give(held.take())
        finally:
            share.hold(0)
        await self.downstream.pass_on(stream)

    async def _receive(self, stream: Stream, pinged: float = 0.0) -> bytes:
        """Return more of an answer that may not be silent for too long; raises LostError.

        `pinged` is for how many seconds nothing but filler has come by now.
        """
        limit = self.silence
        if limit is None:
            limit = self.manners.silence(self._silent_tries)
        filled = left = math.inf
        if pinged:
            filled = self.manners.filled(self._silent_tries)
            left = max(0.0, filled - pinged)
        with trio.move_on_after(min(limit, left)):
            return await stream.receive()
        self._silent_tries += 1
        cause = f"silent for {limit:g} s" if limit <= left else f"only pings for {filled:g} s"
        raise LostError(cause, Kind.SILENT)

    async def _stream_of_events(self, response: Response, stream: Stream) -> LostAnswer | None:
        """Hand a stream over, event by event, as far as it need not be asked for again."""
        answer = self.streamed = Answer(self.hold, self.dialect.reader(), room=self.room)
        if not self.downstream.has_head:
            unbounded = fields.without(response.fields, b"content-length")
            self.downstream.head(replace(response, fields=unbounded))
            self.nursery.start_soon(keep_patient, self.downstream, self.dialect, self._wants_filler)
        try:
            return await self._events(answer, stream)
        finally:
            answer.drop()

    async def _events(self, answer: Answer, stream: Stream) -> LostAnswer | None:
        """Take the events of a stream; raises LostError."""
        data, said, bucket, idle = b"first", trio.current_time(), Bucket(), 0
        asked = said
        while data:
            try:
                data = await self._receive(stream, asked - said if answer.was_filler else 0.0)
            except LostError:
                if not answer.has_all:
                    raise
                data = b""
            came = trio.current_time()
            for at in range(0, len(data) or 1, _SLICE):
                step = answer.receive(data[at : at + _SLICE]) if data else self._end(answer)
                if at or answer.committed:
                    await self._deliver(step, answer, is_more=at > 0)
                if step.loss is not None:
                    return LostAnswer(step.loss, step.kind, error=step.error)
                before, idle = idle, answer.idle
                if idle != before and not bucket.spend(idle - before, trio.current_time()):
                    raise LostError(FLOODED, Kind.FLOOD)
            if answer.was_filler and came - asked >= FILLED:
                self.manners.note_filler(came - asked)
            asked = trio.current_time()
            if not answer.was_filler:
                said = asked
        await self.downstream.end(stream.trailers)
        return None

    async def _deliver(self, step: Step, answer: Answer, *, is_more: bool) -> None:
        """Give the program what it may have now.

        Others have their turn where there was much to read: `is_more`.
        """
        is_first = not self.is_committed and answer.committed
        self.is_committed = answer.committed
        if is_more:
            await trio.lowlevel.checkpoint()
        if step.deliver:
            await self._give(step.deliver)
            if is_first:  # whom this has woken may have to wait for our processor
                os.sched_yield()

    async def _give(self, pieces: list[bytearray]) -> None:
        """Give the program all pieces; each is forgotten once it is written."""
        pieces.reverse()
        while pieces:
            await self.downstream.data(pieces.pop())

    def _end(self, answer: Answer) -> Step:
        """Take the end of a stream, as this upstream ends its streams."""
        if answer.may_be_whole and not answer.has_told_end and self.manners.takes_untold_end():
            return answer.end_untold()
        if answer.has_told_end:
            self.manners.note_end()
        return answer.end()

    async def _status_too_late(self, response: Response, stream: Stream) -> LostAnswer:
        """Take an answer that is no stream after a stream was promised: only an error is left."""
        text = b""
        with trio.move_on_after(LEAST):
            while len(text) < _ERROR_TEXT and (data := await stream.receive()):
                text += data
        return LostAnswer(
            f"status {response.status} after a loss",
            Kind.STATUS,
            is_final=not self.dialect.is_passing(response.status),
            error=self.dialect.as_error_event(text),
            retry_after=fields.retry_after(response.fields),
        )

    def _wants_filler(self) -> bool:
        """Return whether the program waits for content, and filler may be put in now.

        The current Answer is also right between two tries: the lost one still holds, and nothing of
        it was committed.
        """
        answer = self.streamed
        return answer is not None and answer.wants_filler and answer.may_insert


def _is_bounded(response: Response) -> bool:
    length = fields.length(response.fields)
    is_json = fields.media_type(response.fields) == b"application/json"
    return (length is not None and length <= HELD) or is_json
