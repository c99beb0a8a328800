"""The fake API over HTTP/1.1: one connection, one request after the other."""

from collections.abc import Iterable
from typing import Final

import h11
import trio

from .answers import Answer, Course
from .core import Core
from .endings import drain, end
from .faults import ONLY_H2, STATUS_OF_ERROR, Fault
from .log import Asked, Request

_MOST_HEAD: Final = 1 << 20
_PIECE: Final = 1 << 16


class Http1:
    """One connection."""

    def __init__(self, core: Core, stream: trio.abc.Stream, number: int) -> None:
        self._core = core
        self._stream = stream
        self._number = number
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD)

    async def serve(self) -> None:
        """Answer requests until the client or a fault ends it."""
        while True:
            request = None
            with trio.move_on_after(self._core.idle_limit):
                request = await self._next_request()
            if request is None:
                return
            asked, course = self._core.take(request)
            try:
                is_well = await self._play(asked, course)
            except trio.BrokenResourceError:
                asked.ended = "by the client"
                raise
            if not is_well:
                return
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                await end(self._stream, Fault.FIN)
                return
            self._h11.start_next_cycle()

    async def _play(self, asked: Asked, course: Course) -> bool:
        """Answer; tells whether the connection goes on."""
        if course.ending in ONLY_H2:
            raise ValueError(f"{course.ending} is not for HTTP/1.1")
        if course.has_head:
            await self._send_head(course.answer)
            await self._send_body(asked, course.pieces)
        await trio.sleep(course.pause)
        fault = course.ending
        asked.ended = "well" if fault is None else fault.value
        if fault is None or fault is Fault.CLEAN_END or fault in STATUS_OF_ERROR:
            return await self._end_answer(course, fault)
        await self._lose(fault)
        return False

    async def _end_answer(self, course: Course, fault: Fault | None) -> bool:
        """End it cleanly; one that is shorter than it said cannot be but by the connection's."""
        if fault is Fault.CLEAN_END and course.answer.length is not None:
            await end(self._stream, Fault.FIN)
            return False
        await self._send(h11.EndOfMessage(headers=list(course.answer.trailers)))
        return True

    async def _lose(self, fault: Fault) -> None:
        if fault is Fault.SILENCE:
            await drain(self._stream)
        else:
            await end(self._stream, fault)

    async def _send_head(self, answer: Answer) -> None:
        length = answer.length
        framing = (
            (b"transfer-encoding", b"chunked")
            if length is None
            else (b"content-length", b"%d" % length)
        )
        await self._send(h11.Response(status_code=answer.status, headers=[*answer.fields, framing]))

    async def _send_body(self, asked: Asked, pieces: Iterable[bytes]) -> None:
        if asked.request.method == "HEAD":
            return
        for piece in pieces:
            await self._send(h11.Data(data=piece))
            asked.sent += len(piece)

    async def _next_request(self) -> Request | None:
        """Read a whole request; None at the end of the connection."""
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        body = bytearray()
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                return None
            body += event.data
        method, path = head.method.decode(), head.target.decode("latin-1")
        fields = tuple((bytes(name), bytes(value)) for name, value in head.headers.raw_items())
        return Request(method, path, fields, bytes(body), "http/1.1", self._number)

    async def _event(self) -> h11.Event | None:
        """Wait for the next event; None for junk and for an end in the middle of a request."""
        while True:
            try:
                event = self._h11.next_event()
                if event is h11.NEED_DATA:
                    await self._say_go_on()
                    self._h11.receive_data(bytes(await self._stream.receive_some(_PIECE)))
                    continue
            except h11.RemoteProtocolError:
                return None
            assert not isinstance(event, type), event
            return event

    async def _say_go_on(self) -> None:
        if self._h11.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))

    async def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        assert data is not None
        await self._stream.send_all(data)
