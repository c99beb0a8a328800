"""`keepline explain`, and the line at the end of a session. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Final

from relay.record import events
from relay.record.events import AnyEvent
from relay.record.kinds import Kind
from relay.record.opened import OpenedPorts
from relay.record.story.advice import ADVICE, GATEWAY_OFF, Advice
from relay.record.story.entry import Entry, Mark, joined
from relay.record.story.interrupted import cut_off, is_interrupted
from relay.record.story.losses import entries
from relay.record.times import Clock

REPEAT: Final = (
    "If the program gave up: repeat what it did; an agent's command line can resume its session."
)

_PORTS_TOLD: Final = 20
"""Published ports that are told one by one."""
_SEEN: Final = (events.ConnectionOpened, events.UpstreamOpened, events.LogFull)
"""What shows that a program has connected, or that the log may not have it."""

_NOTHING_LOST: Final = "Nothing was lost."

_BESIDES: Final = {
    Mark.DENIED: "denied",
    Mark.GAVE_UP: "given up",
    Mark.LIMIT: "out of reach",
    Mark.FAILED: "failed as without keepline",
}


def lines(
    log: Iterable[AnyEvent],
    *,
    verbose: bool = False,
    is_live: bool = False,
    zone: tzinfo | None = None,
) -> Iterator[str]:
    """Yield the whole story line by line; `verbose` adds each line's evidence.

    `is_live`: the session still runs. Times are those of `zone`, or of this machine.
    """
    known = list(log)
    if not known:
        yield "Nothing was recorded."
        return
    clock = Clock(zone)
    clock.day(known[0].at)  # the first line says it
    yield known[0].text()
    if not isinstance(known[0], events.SessionStarted):
        yield "The beginning is missing: the file was changed by another than keepline."
    told = _told(known, is_live=is_live)
    for entry in sorted((*told, *_notes(known)), key=lambda each: each.at):
        if day := clock.day(entry.at):
            yield day
        yield f"{clock.time(entry.at)}  {_mark(entry):7}  {entry.what}{_times(entry, clock)}"
        if verbose:
            yield from (f"{'':17}  {line}" for line in entry.evidence)
    text = summary(told)
    if text == _NOTHING_LOST and not any(isinstance(event, _SEEN) for event in known):
        text = f"No connection was seen {'so far' if is_live else 'at all'}."
    yield text
    yield from (f"  {kind}: {advice.text}." for kind, advice in _advice(told))
    if any(entry.mark is Mark.VISIBLE for entry in told):
        yield REPEAT


def _told(known: Sequence[AnyEvent], *, is_live: bool) -> list[Entry]:
    """Return the entries of a log, each once."""
    ended = cut_off(known) if is_interrupted(known, is_live=is_live) else []
    return joined([*entries(known), *ended])


def _notes(known: Sequence[AnyEvent]) -> Iterator[Entry]:
    """Yield what befell the machine and the log, and which ports of the host were open."""
    ports = OpenedPorts()
    for event in known:
        ports.note(event)
        if isinstance(event, events.Slept | events.LeftBehind | events.SideDoor):
            yield Entry(event.at, Mark.NOTE, event.text())
        elif isinstance(event, events.LogFull):
            yield Entry(event.at, Mark.NOTE, f"{event.text()}; --log-limit N allows N MiB")
        elif isinstance(event, events.SessionEnded) and event.omitted:
            yield Entry(event.at, Mark.NOTE, event.text())
    yield from (Entry(known[0].at, Mark.NOTE, told) for told in ports.told())
    yield from _published(known)


def _published(known: Sequence[AnyEvent]) -> Iterator[Entry]:
    """Yield which ports inside were reached from the host, each once, and why others were not."""
    ports: dict[tuple[int, int], events.Published] = {}
    for event in known:
        if isinstance(event, events.Published):
            ports.setdefault((event.port, event.host_port), event)
        elif isinstance(event, events.PublishingBounded | events.PublishingFailed):
            yield Entry(event.at, Mark.NOTE, event.text())
    for number, each in enumerate(ports.values()):
        if number == _PORTS_TOLD:
            yield Entry(each.at, Mark.NOTE, f"and {len(ports) - number} more: keepline log")
            return
        yield Entry(each.at, Mark.NOTE, each.text())


def _mark(entry: Entry) -> str:
    return "" if entry.mark is Mark.NOTE else entry.mark


def _times(entry: Entry, clock: Clock) -> str:
    if entry.count == 1:
        return ""
    until = f", until {clock.time(entry.until)}" if entry.until else ""
    return f" ({entry.count} times{until})"


def summary(told: Sequence[Entry]) -> str:
    """Return how many losses there are, and how much else came to nothing."""
    besides = ", ".join(
        f"{count} {words}"
        for mark, words in _BESIDES.items()
        if (count := sum(entry.count for entry in told if entry.mark is mark))
    )
    losses = _losses(told)
    if not losses:
        return f"No loss; {besides}." if besides else _NOTHING_LOST
    return f"{losses}; {besides}." if besides else f"{losses}."


def _losses(told: Sequence[Entry]) -> str:
    """Return how many losses there are; empty if there are none."""
    counts = {
        mark: sum(entry.count for entry in told if entry.mark is mark)
        for mark in (Mark.HIDDEN, Mark.VISIBLE)
    }
    count, hidden, visible = sum(counts.values()), counts[Mark.HIDDEN], counts[Mark.VISIBLE]
    plural = "es" if count > 1 else ""
    return f"{count} loss{plural}: {hidden} hidden, {visible} visible" if count else ""


def _advice(told: Sequence[Entry]) -> Iterator[tuple[str, Advice]]:
    """Yield what changes the things that went wrong, each once, under a word that names them."""
    kinds = dict.fromkeys(
        entry.kind for entry in told if entry.mark not in (Mark.HIDDEN, Mark.NOTE)
    )
    for kind in kinds:
        if kind is not Kind.UNKNOWN:
            yield kind.value, ADVICE[kind]
    for host in _unread(told):
        yield host, GATEWAY_OFF


def _unread(told: Sequence[Entry]) -> list[str]:
    """Return the hosts of which an answer was lost that the gateway could have read."""
    unread = {entry.host for entry in told if entry.mark is Mark.NOTE and entry.host}
    lost = dict.fromkeys(entry.host for entry in told if entry.mark is Mark.VISIBLE)
    return [host for host in lost if host in unread]


def end_line(log: Iterable[AnyEvent], *, has_failed: bool) -> str:
    """Return what there is to say at the end, in one line; empty if there is nothing.

    `has_failed`: the command has ended with a status other than 0. What was denied or given up is
    told then alone, for a command that succeeds has got over it.
    """
    told = joined(entries(log))
    worth = [entry for entry in told if has_failed and entry.is_told]
    said = [losses] if (losses := _losses(told)) else []
    if worth:
        first, others = worth[0], len(worth) - 1
        times = f", {first.count} times" if first.count > 1 else ""
        said.append(f"{first.what}{times}" + (f", and {others} more" if others else ""))
    shown = [each for each in told if each in worth or each.mark in (Mark.VISIBLE, Mark.NOTE)]
    settings = dict.fromkeys(name for _, advice in _advice(shown) for name in advice.settings)
    if settings:
        said.append(f"What changes it: {', '.join(settings)}")
    return " ".join(f"{each}." for each in said)
