"""One process that runs faults: all of them, or a part."""

import errno
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tests.support.faults.injector import ERRNOS, Site
from tests.support.faults.lines import Line, Made, Ran
from tests.support.faults.options import Options
from tests.support.faults.runs import Fault, Outcome, Said, run
from tests.support.faults.scenarios import SCENARIOS, Scenario
from tests.support.faults.world import World

TIMES: Final = (1, 3)


def work(options: Options) -> None:
    """Run the part that is asked for, and say a line of each run."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a run in circles ends too
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        world = World(Path(folder))
        found, said = _record(world)
        _say(Made(sorted(found)))
        for number, (fault, scenario) in enumerate(_faults(found, options)):
            if number % options.parts == options.part:
                _say(_line(run(world, scenario, fault), fault, said[scenario.name]))


def _record(world: World) -> tuple[dict[Site, Scenario], dict[str, Said]]:
    """Run all scenarios without a fault; return the first for each call, and what each records."""
    found: dict[Site, Scenario] = {}
    said = {}
    for scenario in SCENARIOS:
        outcome = run(world, scenario)
        if outcome.wrong:
            sys.exit(f"{scenario.name}, without a fault: {outcome.wrong}")
        said[scenario.name] = outcome.said
        for site in outcome.calls:
            found.setdefault(site, scenario)
    return found, said


def _faults(found: dict[Site, Scenario], options: Options) -> Iterator[tuple[Fault, Scenario]]:
    for site, scenario in sorted(found.items()):
        if options.only in str(site):
            for number in ERRNOS:
                if options.errno in {"", errno.errorcode[number]}:
                    yield from ((Fault(site, number, times), scenario) for times in TIMES)


def _line(outcome: Outcome, fault: Fault, usual: Said) -> Ran:
    return Ran(
        outcome.scenario,
        fault.site,
        errno.errorcode[fault.number],
        fault.times,
        outcome.hits,
        outcome.wrong,
        outcome.met,
        bool(outcome.said - usual),
    )


def _say(line: Line) -> None:
    sys.stdout.write(f"{msgspec.json.encode(line).decode()}\n")
    sys.stdout.flush()
