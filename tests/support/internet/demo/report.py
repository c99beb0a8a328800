"""What a run of the demo has shown, side by side, and what it should have but did not; pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from .stage import Event, Seen

_LABEL: Final = 36
_COLUMN: Final = 33
_AT_ONCE: Final = 1.0


def of_idle(bare: Seen, kept: Seen) -> str:
    """Show the scene of the idle connection."""
    both = (bare, kept)
    return _table(
        ("first answer, connecting included", [_first_answer(one) for one in both]),
        ("the kernel's timer of the connection", [_timer(one) for one in both]),
        ("then idle", [_idle(one) for one in both]),
        ("the NAT still knows the connection", ["yes" if one.remembered else "no" for one in both]),
        ("second answer", [_last(one) for one in both]),
    )


def of_broken_v6(bare: Seen, kept: Seen) -> str:
    """Show the scene of the name with a broken IPv6 address."""
    both = (bare, kept)
    return _table(
        ("the connection goes to", [_destination(one) for one in both]),
        ("answer, connecting included", [_whole(one) for one in both]),
    )


def missing_of_idle(bare: Seen, kept: Seen) -> Iterator[str]:
    """Name each thing the first scene claims and did not show."""
    if len(bare.all_of("answered")) != 1 or bare.remembered:
        yield "the NAT did not cut off the bare client"
    if bare.connection is None or bare.connection.timer != "off":
        yield "the bare client had no connection, or one with a timer"
    if kept.connection is None or kept.connection.timer != "keepalive":
        yield "the connection under keepline had no keepalive timer"
    if not kept.remembered:
        yield "the NAT forgot the connection under keepline"
    if len(kept.all_of("answered")) != 2:
        yield "the client under keepline was not answered twice"


def missing_of_broken_v6(bare: Seen, kept: Seen) -> Iterator[str]:
    """Name each thing the second scene claims and did not show."""
    if bare.all_of("answered"):
        yield "the broken IPv6 did not hold up the bare client"
    if kept.connection is None or not kept.all_of("answered"):
        yield "the client under keepline was not answered over IPv4"
    elif _seconds(kept) > _AT_ONCE:
        yield "the client under keepline was not answered at once"


def ending(not_shown: Sequence[str], kept: Sequence[Seen], seconds: float) -> str:
    """Close the demo: in time, or with what went wrong."""
    if not not_shown:
        return f"\nAll measured just now, in {seconds:.0f} s.\n"
    lines = [f"  - {failure}" for failure in not_shown]
    lines += [f"  keepline said: {line}" for one in kept for line in _last_words(one)]
    return "\n".join(["", "This run did not show what it should:", *lines, ""])


def _table(*rows: tuple[str, Iterable[str]]) -> str:
    header = _line("", ("bare", "under keepline"))
    return header + "".join(_line(label, cells) for label, cells in rows)


def _line(label: str, cells: Iterable[str]) -> str:
    return f"   {label:{_LABEL}}  {''.join(f'{cell:{_COLUMN}}' for cell in cells).rstrip()}\n"


def _first_answer(seen: Seen) -> str:
    """Count from the start: under keepline, connecting alone says nothing about the server."""
    return _whole(Seen(seen.events[:2]))


def _idle(seen: Seen) -> str:
    return _told(seen.all_of("idle")[0]) if seen.all_of("idle") else "never"


def _last(seen: Seen) -> str:
    return _told(seen.events[-1]) if seen.events else "never"


def _whole(seen: Seen) -> str:
    """Return how the run ended, and after how long in all."""
    if not seen.events:
        return "never"
    last = seen.events[-1]
    return _told(Event(last.what, _seconds(seen), last.detail))


def _last_words(seen: Seen) -> list[str]:
    return seen.stderr.splitlines()[-2:]


def _seconds(seen: Seen) -> float:
    return sum(event.seconds for event in seen.events)


def _told(event: Event) -> str:
    if event.what == "failed":
        return f"NONE in {_time(event.seconds)} ({event.detail})"
    return _time(event.seconds)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _timer(seen: Seen) -> str:
    if seen.connection is None:
        return "no connection"
    if seen.connection.timer == "off":
        return "off"
    return f"{seen.connection.timer}, fires in {seen.connection.expires:.2f} s"


def _destination(seen: Seen) -> str:
    if seen.connection is None:
        return "nowhere"
    address, port = seen.connection.remote
    return f"{address} port {port}"
