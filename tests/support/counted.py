"""Reads of a record how often each of its events happened: what repeats has few lines."""

from collections.abc import Hashable, Iterable, Iterator

from relay.record.events import AnyEvent, ConnectionOpened, CountedEvent

_VARYING = frozenset({"at", "connection", "count", "seconds", "together"})


def counted(record: Iterable[AnyEvent]) -> Iterator[tuple[AnyEvent, int]]:
    """Yield each event of one file with how often it happened since it was written before.

    A connection whose failure is counted was opened as often.
    """
    known: dict[Hashable, int] = {}
    opened: dict[int, ConnectionOpened] = {}
    for event in record:
        number = getattr(event, "connection", None) or 0
        if isinstance(event, ConnectionOpened):
            opened[number] = event
        if not isinstance(event, CountedEvent):
            yield event, 1
            continue
        to = opened[number].to if number in opened else ""
        fields = (name for name in event.__struct_fields__ if name not in _VARYING)
        key: Hashable = (type(event), to, *(getattr(event, name) for name in fields))
        if event.together:
            key = type(event), event.kind
        times = max(event.count - known.get(key, 0), 1)
        known[key] = event.count
        if times > 1 and number in opened:
            yield opened[number], times - 1
        yield event, times
