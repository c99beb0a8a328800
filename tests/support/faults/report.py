"""Starts the processes that run faults, and says what came of all."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from tests.support.faults import expected
from tests.support.faults.injector import Site
from tests.support.faults.lines import Line, Made, Ran
from tests.support.faults.options import Options

_WORST: Final = 40
"""Lines of what went wrong that are shown."""


def report(options: Options) -> int:
    """Run what is asked for; return 0 if no session was lost, and nothing went unrecorded."""
    lines = list(_all_lines(options))
    sites = next(line.sites for line in lines if isinstance(line, Made))
    runs = [line for line in lines if isinstance(line, Ran)]
    if options.is_list:
        sys.stdout.writelines(f"{site}\n" for site in sites)
    faults = list(_faults(sites, runs))
    sys.stdout.writelines(f"{fault}\n" for fault in faults[:_WORST])
    sys.stdout.write(f"{_summary(sites, runs)}\n")
    return 1 if faults else 0


def _all_lines(options: Options) -> Iterator[Line]:
    jobs = 1 if options.is_list else options.jobs
    with ThreadPoolExecutor(jobs) as pool:
        for lines in pool.map(lambda part: _lines(options, part, jobs), range(jobs)):
            yield from lines


def _lines(options: Options, part: int, parts: int) -> list[Line]:
    """Run one process to its end; raises CalledProcessError."""
    only = "no such call" if options.is_list else options.only
    words = [f"--only={only}", f"--errno={options.errno}", f"--part={part}/{parts}"]
    words += ["--full"] if options.is_full else []
    argv = [sys.executable, "-m", "tests.support.faults", *words]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    return [msgspec.json.decode(line, type=Line) for line in done.stdout.splitlines()]


def _faults(sites: Sequence[Site], runs: Sequence[Ran]) -> Iterator[str]:
    """Yield what should not be."""
    for each in expected.not_made(sites):
        yield f"{each.file}:{each.first}: no scenario makes this call: {each.text}"
    for file, text in expected.needless(sites):
        yield f"{file}: {text}: excused in vain"
    for run in runs:
        if run.wrong:
            yield f"LOST {run}: {run.wrong.strip()}"
        elif run.is_unrecorded:
            yield f"UNRECORDED {run}: {run.met}"
        elif not run.hits:
            yield f"NOT MADE {run}"


def _summary(sites: Sequence[Site], runs: Sequence[Ran]) -> str:
    places = {site[:3] for site in sites}
    lost, met = sum(bool(run.wrong) for run in runs), sum(bool(run.met) for run in runs)
    return (
        f"{len(places)} calls, made in {len(sites)} ways; {len({run.errno for run in runs})}"
        f" errnos; {len(runs)} runs: {lost} sessions lost, {met} in which a program met"
        f" something, {sum(run.is_unrecorded for run in runs)} of those unrecorded"
    )
