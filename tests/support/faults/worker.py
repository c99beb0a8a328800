"""One process that runs faults: all of them, or a part."""

import errno
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import msgspec

from tests.support.faults.injector import ERRNOS, Site
from tests.support.faults.lines import Begun, Line, Made, Ran
from tests.support.faults.options import Options
from tests.support.faults.runs import Fault, Outcome, Said, run
from tests.support.faults.scenarios import SCENARIOS, Scenario
from tests.support.faults.world import World

TIMES: Final = (1, 3)

_TRIES: Final = 5
"""Further ones for a call that was not made, by each scenario that has made it, in turns: some
depend on which of two tasks runs first, or on what the kernel tells late."""


def work(options: Options) -> None:
    """Run the part that is asked for, and say a line of each run."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a run in circles ends too
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it ends what stays in the namespaces
    # A whole session reads it by signalfd, and no thread that is started here may take it away.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        world = World(Path(folder))
        found, said = _record(world)
        _say(Made(sorted(found)))
        for number, fault in enumerate(_faults(found, options)):
            if number // len(TIMES) % options.parts == options.part:
                scenarios = found[fault.site]
                name = errno.errorcode[fault.number]
                _say(Begun(scenarios[0].name, fault.site, name, fault.times))
                began = time.monotonic()
                outcome = run(world, scenarios[0], fault)
                for scenario in islice(cycle((*scenarios[1:], scenarios[0])), _TRIES):
                    if outcome.wrong or outcome.hits:
                        break
                    outcome = run(world, scenario, fault)
                _say(_line(outcome, fault, said[outcome.scenario], time.monotonic() - began))


def _record(world: World) -> tuple[dict[Site, list[Scenario]], dict[str, Said]]:
    """Run all scenarios without a fault; return those that make each call, what each records."""
    found: dict[Site, list[Scenario]] = defaultdict(list)
    said = {}
    for scenario in SCENARIOS:
        outcome = run(world, scenario)
        if outcome.wrong:
            sys.exit(f"{scenario.name}, without a fault: {outcome.wrong}")
        said[scenario.name] = outcome.said
        for site in outcome.calls:
            found[site].append(scenario)
    return found, said


def _faults(found: Iterable[Site], options: Options) -> Iterator[Fault]:
    """Yield each call with each errno, once and three times running, or in turns."""
    for row, site in enumerate(sorted(found)):
        for column, number in enumerate(ERRNOS):
            if options.only not in str(site) or options.errno not in {"", errno.errorcode[number]}:
                continue
            turn = (row + column) % len(TIMES)
            for times in TIMES if options.is_full else TIMES[turn : turn + 1]:
                yield Fault(site, number, times)


def _line(outcome: Outcome, fault: Fault, usual: Said, seconds: float) -> Ran:
    return Ran(
        outcome.scenario,
        fault.site,
        errno.errorcode[fault.number],
        fault.times,
        outcome.hits,
        outcome.wrong,
        outcome.met,
        seconds,
        bool(outcome.said - usual),
    )


def _say(line: Line) -> None:
    sys.stdout.write(f"{msgspec.json.encode(line).decode()}\n")
    sys.stdout.flush()
