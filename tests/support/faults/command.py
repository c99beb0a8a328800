"""The command line: which faults are run, in how many processes, and what came of them."""

import argparse
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.support.faults.injector import ERRNOS, Site
from tests.support.faults.runs import Fault, Outcome, run
from tests.support.faults.scenarios import SCENARIOS, Scenario
from tests.support.faults.world import World

TIMES: Final = (1, 3)


@dataclass(frozen=True)
class Line:
    """What is said of one run."""

    scenario: str
    site: Site
    errno: str
    times: int
    hits: int
    wrong: str
    met: str
    """What a program met of it."""
    is_recorded: bool
    """Whether the record says something that it does not say of the scenario without a fault."""


def main() -> None:
    """Run what is asked for."""
    options = _options()
    if options.jobs > 1:
        sys.exit(_in_processes(options.jobs))
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        world = World(Path(folder), as_root=options.as_root)
        found, said = _record(world)
        if options.list:
            for site, scenario in sorted(found.items()):
                sys.stdout.write(f"{json.dumps({'site': site, 'scenario': scenario.name})}\n")
            return
        part, parts = map(int, options.part.split("/"))
        for number, (fault, scenario) in enumerate(_faults(found, options)):
            if number % parts == part:
                _tell(run(world, scenario, fault), said)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.support.faults", description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the calls, and make none fail")
    parser.add_argument("--only", default="", help="calls whose description has this in it")
    parser.add_argument("--errno", default="", help="this errno alone")
    parser.add_argument("--as-root", action="store_true", help="keep root's range of ids")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    parser.add_argument("--part", default="0/1", help="of the work, I/N")
    return parser.parse_args()


def _in_processes(jobs: int) -> int:
    """Run this command in several processes, each a part; return the worst of their statuses."""
    words = [sys.executable, "-m", "tests.support.faults", *sys.argv[1:], "--jobs=1"]
    running = [subprocess.Popen([*words, f"--part={part}/{jobs}"]) for part in range(jobs)]
    return max(process.wait() for process in running)


def _record(world: World) -> tuple[dict[Site, Scenario], dict[str, frozenset[tuple[str, ...]]]]:
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


def _faults(
    found: dict[Site, Scenario], options: argparse.Namespace
) -> Iterator[tuple[Fault, Scenario]]:
    for site, scenario in sorted(found.items()):
        if options.only not in str(site):
            continue
        for number in ERRNOS:
            if options.errno not in errno.errorcode[number]:
                continue
            for times in TIMES:
                yield Fault(site, number, times), scenario


def _tell(outcome: Outcome, said: dict[str, frozenset[tuple[str, ...]]]) -> None:
    fault = outcome.fault
    assert fault is not None
    line = Line(
        outcome.scenario,
        fault.site,
        errno.errorcode[fault.number],
        fault.times,
        outcome.hits,
        outcome.wrong,
        outcome.met,
        bool(outcome.said - said[outcome.scenario]),
    )
    sys.stdout.write(f"{json.dumps(asdict(line))}\n")
    sys.stdout.flush()
