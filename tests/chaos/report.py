"""The table: what was measured, beside what was promised; pure but for the versions' programs."""

import math
import os
import platform
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

from .plan import Run
from .players import Kind, program
from .row import Promise, Row, Sample
from .soak import HANG, Soaked
from .worker import Played

_HEAD: Final = (
    *("#", "fault", "client", "N", "errors bare", "errors", "median / worst bare"),
    *("median / worst", "losses hidden", "promise", "kept"),
)
_HEAD_OF_PROXIED: Final = (
    *("#", "fault", "client", "through", "N", "errors", "median / worst", "losses hidden"),
    *("promise", "kept"),
)

_KINDS: Final = frozenset({"fatal", "silently wrong", "asked again", "no answer"})
"""Errors of the client with the real one's rules, each counted by itself."""

SHORT: Final = (
    "The short form: each row once, its wait shortened to the seconds shown"
    " (row 7: a NAT that forgets after 8 s, and --keepidle 3; rows 18 to 21: each fault at each"
    " place once)."
)

_INTRO: Final = """\
# Chaos: what breaks, and what a program sees of it

`scripts/chaos` plays each fault to real clients (the `fetch` of Bun and of Node with their pools,
and a Python client for what they cannot do) through a small internet of network namespaces, bare
and under keepline, and fails if a promise is broken. `scripts/chaos --row 11` plays one row,
`--short` each row once with shortened waits, in three minutes, as CI does; `--write` writes this
page.

N is the number of samples under keepline. Where a fault lasts for seconds, N clients, each with a
keepline of its own, meet it side by side, at random moments. Times are to the answer, or to the
moment the loss is told where that is what is promised; they count from the end of an outage, from
the fault, or from the request, whichever the promise is about. Bun and Python speak TLS, Node
plain HTTP, for its fetch gives a handshake ten seconds and no more. The figures without
keepline are there to compare and promise nothing: they are of few samples, and a client that gets
no answer is waited for a minute at most, ten seconds where there are many samples ("never"). Losses
hidden are those that keepline's own flight logs count. Row 17 is played beside the others, on the
same cores.

What a relay cannot do shows in row 11: an answer that was on its way when the network fell silent
goes on when the *server's* kernel sends it again, which after a long outage may take as long once
more. The bare ACK that would make it do so sooner is none that a program can have its kernel send,
so there the promise is to be no later than without keepline. Where the client's side has to
speak, keepline does so within a second; where the gateway speaks, it asks again after a silence.

Rows 18 to 24 are about the gateway (`--gateway`), before a fake API server that fails where a
script says. Their client, "agent", is Bun's `fetch` with the rules that were measured with the real
client: it retries what failed before an answer began; a stream that is lost before any block of it
was finished it asks for once more, as one document; any other loss is *fatal*; a stream that ends
cleanly after a finished block, before message_stop, leaves it *silently wrong*. *Asked again* is
what it got over by itself. A visible loss is any of these. A line has all places at which its fault
is possible (before the head, after it, in thinking, in text, in tool_use, between blocks, after
message_delta, in the body of an answer that is no stream), each 1, 2 and 5 times in a row: 50
samples of each fault, place and number under keepline, half of them over HTTP/2 upstream and half
over HTTP/1.1, where the fault is not HTTP/2's own; bare 2 of each, over HTTP/1.1, which is all that
the client speaks. One keepline carries 32 of these requests at a time (100 in row 20), on two cores
that play three rows at once, so its times are those of a busy machine. Half of the losses come
right behind the last byte, half 30 ms later. Silence before the head is no loss: a head may be as
late as ten minutes. The limit for silence is set to the seconds shown, and the client's own
watchdogs (300 s without an event, 600 s without a head) are set to 15 s and 60 s, bare to 3 s; its
retries pause 10 to 100 ms. Each sample also asks the server's log: at most 1 + 5 tries of a
request, all with the same body and header fields, none after the client had content, none of a POST
that is not on the list and may have been processed; and the message must be the one of the last
try, for the server never says the same twice.

Row 24 is what the gateway costs where nothing fails: its times are those from a request to the
first content_block_delta of the answer. Bare, the same client asks over HTTP/1.1 and, by a flag of
Bun's, over HTTP/2, each the same server as keepline does; all ask in turns and without a pause, for
processors that had nothing to do make everything take twice as long. The server stands for another
machine and has a processor of its own; the program and keepline have the others, so that on two
cores they share one. The promise is judged by the medians of 1,000 requests of each kind.

Row 25 is an API that fails for everybody, until the client gives up. Bare it asks 11 times, and
keepline adds the five resends that such a host is worth until it answers. With the real client,
2.1.143, before a server that resets each request before any byte of an answer, 11 requests in 180 s
bare, there were 65 in 230 s while each of its tries was asked again five times by itself, and now
there are 16; where each is closed, 60 and 16; where each stream is reset in the middle, which bare
is fatal at once, 72 and 17. A status 529 is the client's own affair: 11, 11 and 11
(`tests/kernel/test_storm.py` has the same with an API that answers again).
"""

_INTRO_OF_PROXIED: Final = """\
# Chaos behind a proxy

`scripts/chaos --short --through squid --through microsocks --write` writes this page, and CI plays
it. The rows of [chaos.md](chaos.md) whose fault is of a connection are played once more, shortened,
with a real proxy for keepline's way out: squid by CONNECT with Basic, microsocks by SOCKS5 with a
password. The proxy runs beside the servers. So the NAT that forgets, the outage and the new address
are between keepline and the proxy; what a server does to a connection, it does to the proxy's. Each
fault meets one client, once.
"""

_UNSEEN: Final = """
## What cannot be seen through a proxy

The relay has one connection, to the proxy, and sees what the proxy makes of the other. These rows
are played as far as that goes: what is named here is not asked of them.
"""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    cells: Mapping[str, str]
    """By the words of its head."""
    broken: tuple[str, ...]
    skipped: bool = False


def lines(run: Run) -> list[Line]:
    """Make the whole table."""
    made = [_line(row, run.played[row.name], run) for row in run.rows if row.name in run.played]
    if run.soaked is not None or run.soak_failure:
        made.append(_soak_line(run.soaked, run.soak_failure))
    return made


def _line(row: Row, played: Played, run: Run) -> Line:
    skipped = played.failure.startswith("there is no ")
    broken = tuple(
        [played.failure] if played.failure else row.promise.broken(played.keepline, played.bare)
    )
    verdict = "not played" if skipped else "yes" if not broken else f"**no**: {'; '.join(broken)}"
    if row.unseen and verdict == "yes":
        verdict = "as far as it can be seen"
    cells = {
        "#": str(row.number),
        "fault": row.fault_of(row.short if run.is_short else row.seconds),
        "client": row.client,
        "through": row.through,
        "N": str(len(played.keepline)),
        "errors bare": _errors(played.bare),
        "errors": _errors(played.keepline),
        "median / worst bare": _times(played.bare, row.promise),
        "median / worst": _times(played.keepline, row.promise),
        "losses hidden": str(played.hidden),
        "promise": row.promise.text,
        "kept": verdict,
    }
    return Line(cells, () if skipped else broken, skipped)


def _soak_line(soaked: Soaked | None, failure: str) -> Line:
    promise = f"0 hangs (no outcome in {HANG:g} s), 0 leaks (descriptors, connections, memory)"
    if soaked is None:
        named = {"#": "17", "fault": "soak", "client": "bun, python", "N": "0"}
        return Line(named | {"promise": promise, "kept": failure}, (failure,))
    broken = tuple(soaked.broken())
    growth = max(
        (b.memory - a.memory for a, b in zip(soaked.before, soaked.after, strict=True)), default=0
    )
    descriptors = [
        f"{a.descriptors} → {b.descriptors}"
        for a, b in zip(soaked.before, soaked.after, strict=True)
    ]
    found = f"descriptors {', '.join(descriptors)}; memory {growth / 1024:+,.0f} KiB"
    verdict = f"**no**: {'; '.join(broken)}" if broken else "yes"
    faults = "1 % loss, random FIN, RST, forgetting, 20 loops of requests"
    cells = {
        "#": "17",
        "fault": f"{soaked.minutes:g} min of {faults}",
        "client": "bun, python",
        "N": f"{soaked.requests:,}",
        "errors": f"{sum(soaked.told.values())} (made by the server's FIN and RST, and the NAT)",
        "median / worst": f"{_time(soaked.median)} / {_time(soaked.worst)}",
        "promise": promise,
        "kept": f"{verdict} ({found})",
    }
    return Line(cells, broken)


def _errors(samples: Sequence[Sample]) -> str:
    if not samples:
        return "-"
    errors = [sample.error.partition(":")[0] for sample in samples if sample.error]
    kinds = Counter(error for error in errors if error in _KINDS)
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    return f"{len(errors)} of {len(samples)}" + (f" ({told})" if told else "")


def _times(samples: Sequence[Sample], promise: Promise) -> str:
    """Return how long it took; an error counts only where telling a loss is what is promised."""
    seconds = [
        sample.seconds
        for sample in samples
        if promise.errors != "none" or not sample.error or math.isinf(sample.seconds)
    ]
    return f"{_time(median(seconds))} / {_time(max(seconds))}" if seconds else "-"


def _time(seconds: float) -> str:
    if math.isinf(seconds):
        return "never"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def markdown(run: Run, table: Sequence[Line]) -> Iterator[str]:
    """Write the page."""
    is_proxied = any(row.through for row in run.rows)
    head = _HEAD_OF_PROXIED if is_proxied else _HEAD
    yield _INTRO_OF_PROXIED if is_proxied else _INTRO
    yield f"Played on {datetime.now(UTC):%d %B %Y}; {'; '.join(environment())}."
    if run.is_short:
        yield f"\n{SHORT}"
    yield ""
    yield from _table(head, ([line.cells.get(word, "") for word in head] for line in table))
    if is_proxied:
        yield _UNSEEN
        unseen = ([row.through, str(row.number), row.unseen] for row in run.rows if row.unseen)
        yield from _table(("through", "#", "what cannot be seen, and why"), unseen)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def plain(table: Sequence[Line]) -> Iterator[str]:
    """Write the table for a terminal, a line or two for each row."""
    for line in table:
        told = defaultdict(str, line.cells)
        through = f", through {told['through']}" if told["through"] else ""
        yield (
            f"{told['#']:>2}  {told['fault']} ({told['client']}{through}): N {told['N']}, errors"
            f" {told['errors']}, {told['median / worst']}; {told['kept'].replace('**', '')}"
        )


def environment() -> Iterator[str]:
    """Name the versions that matter."""
    yield f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} cores"
    yield f"Python {platform.python_version()}"
    names: dict[Kind, str] = {"bun": "Bun", "node": "Node"}
    for kind, name in names.items():
        found = program(kind)
        if found is not None:
            told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
            yield f"{name} {told.stdout.strip().removeprefix('v')}"
