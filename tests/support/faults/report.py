"""Starts the processes that run faults, and says what came of all."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Timer
from typing import Final

import msgspec

from tests.support.faults import expected
from tests.support.faults.injector import Site
from tests.support.faults.lines import Begun, Line, Made, Ran
from tests.support.faults.options import Options

_SILENT: Final = 180.0
"""Seconds in which a run has ended, with all that is tried again, on a machine with much to do."""

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
    """Run one process to its end, or kill it in a run without one; raises CalledProcessError."""
    only = "no such call" if options.is_list else options.only
    words = [f"--only={only}", f"--errno={options.errno}", f"--part={part}/{parts}"]
    words += ["--full"] if options.is_full else []
    argv = [sys.executable, "-m", "tests.support.faults", *words]
    lines: list[Line] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        guard = _guard(worker)
        for text in worker.stdout:
            guard.cancel()
            lines.append(msgspec.json.decode(text, type=Line))
            guard = _guard(worker)
        guard.cancel()
    if worker.returncode:
        if not isinstance(last := lines[-1] if lines else None, Begun):
            raise subprocess.CalledProcessError(worker.returncode, argv)
        why = f"status {worker.returncode}; {-signal.SIGKILL}: killed after {_SILENT:.0f} s"
        lines.append(last.ended_by(f"its process ended, with a part of the runs to do: {why}"))
    return lines


def _guard(worker: subprocess.Popen[bytes]) -> Timer:
    """Kill a process that says nothing for too long: an alarm of its own has not helped."""
    guard = Timer(_SILENT, worker.kill)
    guard.start()
    return guard


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
