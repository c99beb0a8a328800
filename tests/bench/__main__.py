"""The command line of the benchmark; the only place that prints."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial

import trio

from netns.errors import SandboxError
from tests.support.internet.enter import enter

from . import report, variants
from .clients import LoadError
from .measure import measure
from .metrics import FULL, QUICK, Figures
from .stage import beside_servers


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; gives 1 if a promise is broken or something of ours does not work."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, figures are rough")
    parser.add_argument("--json", action="store_true", help="for programs")
    parsed = parser.parse_args(arguments)
    try:
        enter(as_root=False)
        effort = QUICK if parsed.quick else FULL
        run = partial(measure, variants=variants.ALL, effort=effort, progress=_tell)
        figures: Figures = trio.run(beside_servers, run)
    except SandboxError as error:
        return _fail(f"{error.cause}\n  try: {error.next_step}")
    except LoadError as error:
        return _fail(str(error))
    table = report.rows(figures)
    broken = list(report.broken_promises(table))
    if parsed.json:
        lines: Iterable[str] = [report.as_json(table, broken, figures)]
    else:
        lines = report.table_lines(table, [one.name for one in variants.ALL], figures)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    for line in broken:
        _fail(f"a promise is broken: {line}")
    return 1 if broken else 0


def _tell(what: str) -> None:
    sys.stderr.write(f"bench: {what}\n")


def _fail(message: str) -> int:
    _tell(message)
    return 1


if __name__ == "__main__":
    sys.exit(main())
