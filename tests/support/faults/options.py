"""The options of scripts/faults."""

import argparse
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Which faults are run, and by how many processes."""

    is_list: bool
    only: str
    errno: str
    is_full: bool
    """Whether each errno comes both once and three times running; else they take turns."""
    jobs: int
    part: int
    """Of the work, that of one process; -1 in the one that starts the others."""
    parts: int


def parse() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser("scripts/faults")
    parser.add_argument("--list", action="store_true", help="list the calls, and make none fail")
    parser.add_argument("--only", default="", help="calls whose description has this in it")
    parser.add_argument("--errno", default="", help="this one alone, such as EMFILE")
    parser.add_argument("--full", action="store_true", help="each both once and three times")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="processes")
    parser.add_argument("--part", default="-1/1", help=argparse.SUPPRESS)
    words = parser.parse_args()
    part, parts = words.part.split("/")
    return Options(
        words.list, words.only, words.errno, words.full, words.jobs, int(part), int(parts)
    )
