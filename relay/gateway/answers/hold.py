"""The holding rule: an answer may be asked for again until something of it was handed over.

It applies to streamed answers of every dialect: the dialect's reader says what each event does, its
roles. An answer has a START; parts with a PART_START, CONTENT and a PART_END each; a STOP, which
says that all parts have come; and an END.

Rules:
1. Until the first content (the first CONTENT of a part, or its PART_END if it has none) nothing is
   handed over: all that comes is held, in order.
2. From then on: with "none" everything flows. With "block" the first part flows, event by event;
   its PART_END and all that follows is held until the END. With "message" all is held until the
   END. The END hands over everything at once.
3. An ERROR before anything is committed is a loss if asking again may help. Otherwise it is the
   answer and is handed over after all that was held. Once something is committed, what is held is
   dropped, so that the program is still inside its first part, from which it recovers by itself,
   and the error is handed over alone. Either way the answer is complete then.
4. An end of the stream without an END or such an ERROR is a loss. An unfinished event is none.
   After a STOP nothing of the answer is missing but its END: there a clean end of the body is the
   answer's, and so is a loss if no part is unfinished. The END that upstream has left out is put
   in place of an unfinished event. Without a STOP the caller may know that upstream never tells
   one: end_untold().
5. If the first event that is neither FILLER nor an ERROR is not the START, the answer is not in
   this dialect: everything flows, and an end of the stream is a clean end.
6. If more than `limit` bytes are held, or one event is of more than EVENT, or the room of all
   answers is full (bounds/room.py), all are handed over and the rest flows as with "none".
7. What flows flows event by event, but an unfinished event of more than PIECE bytes is passed on
   as it comes. While the first part flows, only an event that carries content is: it is not known
   yet whether any other has to be held.
8. What is out of order is never committed: before and in the first part, an event of the answer
   that is not the one to come (CONTENT outside of a part, a second START or PART_START) is held,
   and so is all that follows, until the END, with "none" too.

If nothing fails, what is handed over is what was received, byte for byte. The cause of a loss
quotes nothing of an answer but the name of a documented error. Pure: no sockets, no clock.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from relay.config import Hold
from relay.gateway.answers.pieces import PIECE, Pieces, pieces_of
from relay.gateway.bounds.room import Room, Share
from relay.gateway.dialect import AnswerEvent, Reader, Role
from relay.record.kinds import Kind

LIMIT: Final = 32 * 1024 * 1024
"""Bytes held of one answer at most."""
EVENT: Final = 4 * 1024 * 1024
"""Bytes of one event that is held: to read it takes three times as much."""


_NO_PIECES: Final[list[bytearray]] = []


class Step(NamedTuple):
    """What to do after some bytes of an answer, or its end."""

    deliver: list[bytearray] = _NO_PIECES
    """To be given to the program now, in pieces of PIECE bytes at most."""
    loss: str | None = None
    """Why the answer is lost; nothing more of it is fed."""
    error: bytes = b""
    """The error event that is the loss, to be handed over if no further try is left."""
    kind: Kind = Kind.UNKNOWN
    """Of the loss."""


class _State(StrEnum):  # hashed in C, see dialect.Role
    BEGIN = "not begun"
    BETWEEN = "no part yet"
    PART = "the first part has begun, and has no content yet"
    LIVE = "the first part flows"
    HELD = "held until the END"
    FLOW = "everything flows"
    FOREIGN = "everything flows, and what it means is not known"
    COMPLETE = "the END, or a final error"


_ERROR: Final = Role.ERROR  # to look an attribute of an Enum up takes longer
_PARTS: Final = {Role.PART_START: 1, Role.PART_END: -1}
"""How many more parts are unfinished after a role."""
_STOPPED: Final = {Role.STOP: True, Role.END: True, Role.PART_START: False, Role.CONTENT: False}
"""Whether all parts have come after a role; the others leave that as it is."""
_FILLER: Final = (Role.FILLER,)
_HOLDING: Final = frozenset({_State.BEGIN, _State.BETWEEN, _State.PART, _State.HELD})
_FINAL: Final = frozenset({_State.FOREIGN, _State.COMPLETE})


def _otherwise(state: _State, role: Role) -> _State:
    """Return the state after an event that does not lead on to the content."""
    if state in _FINAL:
        return state
    if role is Role.ERROR:
        return _State.COMPLETE
    if state is _State.BEGIN:
        begun = {Role.START: _State.BETWEEN, Role.FILLER: _State.BEGIN}
        return begun.get(role, _State.FOREIGN)
    if role is Role.END:
        return _State.COMPLETE
    if state is _State.FLOW or role in {Role.FILLER, Role.UNKNOWN}:
        return state
    return _State.HELD


_OTHERWISE: Final = {(state, role): _otherwise(state, role) for state in _State for role in Role}
_NEXT: Final[dict[Hold, dict[tuple[_State, Role], _State]]] = {
    "message": _OTHERWISE,
    "block": _OTHERWISE
    | {
        (_State.BETWEEN, Role.PART_START): _State.PART,
        (_State.PART, Role.CONTENT): _State.LIVE,
        (_State.LIVE, Role.CONTENT): _State.LIVE,
    },
    "none": _OTHERWISE
    | {
        (_State.BETWEEN, Role.PART_START): _State.PART,
        (_State.PART, Role.CONTENT): _State.FLOW,
        (_State.PART, Role.PART_END): _State.FLOW,
    },
}
"""The state after a role in a state, by rules 2 to 5 and 8."""


class Answer:
    """One answer, fed as it comes from upstream; a new try is a new Answer."""

    def __init__(
        self, hold: Hold, reader: Reader, limit: int = LIMIT, room: Room | None = None
    ) -> None:
        """Begin; drop() is to be called when it is over."""
        self._next = _NEXT[hold]
        self._reader = reader
        self._limit = limit
        self._share = Share(room or Room())
        self._state = _State.BEGIN
        self._held = Pieces()
        self._parts = self._unfinished_parts = 0
        self._has_stopped = False
        self._fillers = 0
        self.was_filler = False
        """Whether what came last were whole events that say nothing."""
        self.is_too_much = False
        """Whether it was more than is held: rule 6."""
        self.committed = False
        """Whether anything of it was handed over: then it may not be asked for again."""
        self.may_insert = True
        """Whether an event of our own may be put in now, be it filler or an error.

        It may not be inside an event that was passed on in part: the two would be read as one.
        """

    @property
    def is_complete(self) -> bool:
        """Whether the END or a final error was handed over: a loss is a clean end then."""
        return self._state is _State.COMPLETE

    @property
    def has_all(self) -> bool:
        """Whether a loss takes nothing from the answer: then it is a clean end, rule 4."""
        return self.is_complete or (self.has_told_end and self._unfinished_parts == 0)

    @property
    def has_told_end(self) -> bool:
        """Whether its STOP or END has come."""
        return self._has_stopped and self._state is not _State.FOREIGN

    @property
    def may_be_whole(self) -> bool:
        """Whether some parts have come, and each of them whole."""
        return self._parts > 0 and self._unfinished_parts == 0 and self._state not in _FINAL

    @property
    def idle(self) -> int:
        """How many events, or pieces of framing, have come that say nothing."""
        return self._fillers + self._reader.idle

    @property
    def wants_filler(self) -> bool:
        """Whether the program waits for something that is held or has not come yet."""
        return self._state in _HOLDING

    def receive(self, data: bytes) -> Step:
        """Take bytes of the body."""
        out: list[bytes | bytearray] = []
        events, fillers = self._reader.feed(data), self._fillers
        unfinished = self._reader.size
        self.was_filler = False
        for event in events:
            loss = self._take(event, out)
            if loss is not None:
                return loss
            if self._held.size or unfinished > self._limit:
                self._hand_over(unfinished, out)
        self.was_filler = 0 < len(events) == self._fillers - fillers
        # The unfinished event counts twice, for its data may be kept beside its bytes.
        size = sum(map(len, out))
        has_room = self._share.hold(size + self._held.size + 2 * unfinished)
        if not has_room or unfinished > EVENT:
            self._give_way()
        if self._held.size or unfinished:
            self._hand_over(unfinished, out)
        if unfinished:
            self._pass_on(unfinished, out)
        return Step(pieces_of(out))

    def drop(self) -> None:
        """Forget what is held, once it is given away or not wanted any more."""
        self._held.take()
        self._share.hold(0)

    def end(self) -> Step:
        """Take the body's clean end, or a loss where it has_all; rule 4."""
        if self._state in _FINAL:
            return Step()
        if self.has_told_end:
            return Step(self._close(self._reader.closing))
        return Step(loss=f"ended without {self._reader.end_name}", kind=Kind.ENDED_EARLY)

    def _take(self, event: AnswerEvent, out: list[bytes | bytearray]) -> Step | None:
        """Hold an event, or give it out if nothing is held by the state after it.

        A Step is a loss.
        """
        if _ERROR in event.roles and self._state not in _FINAL:
            if self.committed:
                self._held.take()
            elif event.passing_error:
                loss = f"error event: {event.passing_error}"
                return Step(loss=loss, error=event.raw, kind=Kind.API_ERROR)
        for role in event.roles:
            self._state = self._next[self._state, role]
            if role in _PARTS:
                self._unfinished_parts += _PARTS[role]
                self._parts += 1
            self._has_stopped = _STOPPED.get(role, self._has_stopped)
        self._fillers += event.roles == _FILLER
        if self._held.size or self._state in _HOLDING:
            self._held.add(event.raw)
        else:
            out.append(event.raw)
            self.committed = self.may_insert = True
        return None

    def end_untold(self) -> Step:
        """Take the body's clean end for the answer's, although it was not told; rule 4."""
        return Step(self._close(b""))

    def _close(self, closing: bytes) -> list[bytearray]:
        """Return what is held, and the END.

        An event that was passed on in part cannot be ended by us: its client drops it, as it does
        without the gateway, and learns of the end by that of the body.
        """
        self._state = _State.COMPLETE
        self._held.add(closing if self.may_insert else b"")
        self.committed = True
        return self._held.take()

    def _give_way(self) -> None:
        """Hold nothing any more: rule 6."""
        if self._state not in _FINAL:
            self._state = _State.FLOW
            self.is_too_much = True

    def _hand_over(self, unfinished: int, out: list[bytes | bytearray]) -> None:
        """Give out what is held, if it need not be held or is too much: rule 6."""
        if self._held.size + unfinished > self._limit:
            self._give_way()
        if self._state in _HOLDING or not self._held.size:
            return
        out += self._held.take()
        self.committed = self.may_insert = True

    def _pass_on(self, unfinished: int, out: list[bytes | bytearray]) -> None:
        """Give out the unfinished event's bytes, if they need not be waited for: rule 7."""
        is_big = not self.may_insert or unfinished > PIECE
        match self._state:
            case _State.FOREIGN | _State.COMPLETE:
                is_due = True
            case _State.FLOW:
                is_due = is_big
            case _State.LIVE:
                is_due = is_big and self._reader.carries_content
            case _:
                is_due = False
        if is_due:
            self.committed, self.may_insert = True, False
            out.append(self._reader.take_partial())
