"""What a fault ends: one connection, one question or one event, which is recorded; nothing else.

A fault is an Exception that nobody expected where it came up. Cancelled, KeyboardInterrupt and all
else that is no Exception goes on, out of a group with both too. Rules:

1. What serves one of many (a connection, a question, a look at one of them) runs behind
   contained(), and so does each event that is acted upon.
2. What serves all (a listener, the name server, the watch of the network) runs by kept_running():
   it is started again after a fault, RESTARTS times within WITHIN seconds. After that it rests for
   a time that doubles, which is recorded as a loss of its own, and then is started again.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Final, Self

import trio

from netns.errors import KeeplineError
from relay.record.events import Event, Fault, ServiceDown, Shown
from relay.record.kinds import CausedError, Kind, kind_of

PAUSES: Final = (0.25, 1.0, 4.0)
"""Seconds before a service is started again for the first time, the second, and so on."""

RESTARTS: Final = len(PAUSES)
WITHIN: Final = 60.0
"""Seconds; it is the shortest rest, too."""

LONGEST_REST: Final = 3600.0
"""Seconds."""

LONGEST: Final = 4096
"""Characters of a traceback that are recorded: its end, for there the fault came up."""

_PARTS: Final = 3
"""Errors of a group, and causes of an error, that are recorded at most."""

_OUR_PATH: Final = 3
"""Last parts of a file's path that are recorded."""

Record = Callable[[Event], None]


class contained:  # noqa: N801 - used as a statement, as contextlib's are
    """Contains a fault inside: it is recorded, and the next statement after this one runs."""

    __slots__ = ("_connection", "_record", "_saw", "_where", "failed")

    def __init__(
        self, record: Record, where: str, connection: int | None = None, saw: Shown = ""
    ) -> None:
        """`where`: what ends with a fault; `saw`: what the program sees of that."""
        self.failed = False
        """Whether there was a fault."""
        self._record = record
        self._where = where
        self._connection = connection
        self._saw = saw

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, _type: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        """Record the faults of what is raised, and raise the rest of it."""
        fault: Exception | None = None
        rest: BaseException | None = error
        if isinstance(error, Exception):
            fault, rest = error, None
        elif isinstance(error, BaseExceptionGroup):
            fault, rest = error.split(Exception)
        if fault is None:
            return False
        self.failed = True
        note(self._record, self._where, fault, self._connection, self._saw)
        if rest is not None:
            raise rest
        return True


def note(
    record: Record, where: str, fault: Exception, connection: int | None = None, saw: Shown = ""
) -> None:
    """Record a fault that the caller contains; what fails in here is left out."""
    with contextlib.suppress(Exception):
        record(_event(where, fault, connection, saw))


def _event(where: str, fault: Exception, connection: int | None, saw: Shown) -> Fault:
    """Return the event of a fault, without a traceback where none can be made."""
    leaf = next(_leaves(fault))
    event = Fault(
        where=where,
        connection=connection,
        error=type(leaf).__qualname__,
        cause=_cause(leaf),
        kind=_kind(leaf),
        saw=saw,
    )
    with contextlib.suppress(Exception):
        *_, event.place = ("", *_places(leaf))
        event.traceback = "\n".join(_told(fault))[-LONGEST:]
    return event


def _tell(record: Record, event: Event) -> None:
    """Record an event; a record that fails must not make a second fault of the first."""
    with contextlib.suppress(Exception):
        record(event)


async def kept_running(record: Record, where: str, service: Callable[[], Awaitable[None]]) -> None:
    """Run a service, and again after each fault, until it ends by itself or is cancelled."""
    failures: list[float] = []
    rest = WITHIN
    while True:
        began = trio.current_time()
        with contained(record, where) as attempt:
            await service()
        if not attempt.failed:
            return
        now = trio.current_time()
        failures = [*(at for at in failures if now - at < WITHIN), now]
        if now - began >= WITHIN:
            rest = WITHIN
        if len(failures) > RESTARTS:
            down = ServiceDown(
                service=where, failures=len(failures), seconds=rest, kind=Kind.DEFECT
            )
            _tell(record, down)
            await trio.sleep(rest)
            rest = min(2 * rest, LONGEST_REST)
        else:
            await trio.sleep(PAUSES[len(failures) - 1])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of a group, or the one that is none."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _cause(error: BaseException) -> str:
    """Return an error for people: the message of another one may quote what was sent."""
    match error:
        case OSError(strerror=str(text)):
            return text
        case CausedError(cause=cause) | KeeplineError(cause=cause):
            return cause
        case _:
            return type(error).__qualname__


def _kind(error: BaseException) -> Kind:
    kind = kind_of(error) if isinstance(error, OSError) else Kind.OTHER
    return Kind.DEFECT if kind is Kind.OTHER else kind


def _told(error: BaseException) -> Iterator[str]:
    """Yield a traceback, line by line, without the messages; of a cause its own before it."""
    for number, leaf in enumerate(_leaves(error)):
        if number == _PARTS:
            yield "and others"
            return
        seen: list[BaseException] = []
        each: BaseException | None = leaf
        while each is not None and len(seen) < _PARTS and each not in seen:
            seen.append(each)
            each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        for one in reversed(seen):
            yield from _places(one)
            yield f"{type(one).__qualname__}: {_cause(one)}"


def _places(error: BaseException) -> Iterator[str]:
    """Yield file, line and function of the calls that led to an error, the outermost first.

    Source lines are left out: the command may have changed the files since they were run.
    """
    frames = error.__traceback__
    while frames is not None:
        code = frames.tb_frame.f_code
        path = "/".join(PurePath(code.co_filename).parts[-_OUR_PATH:])
        yield f"{path}:{frames.tb_lineno} in {code.co_name}"
        frames = frames.tb_next
