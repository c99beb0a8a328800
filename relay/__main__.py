"""Starts: the child is forked before anything that it does not need is loaded."""

import sys

from relay import startup

startup.begin()

from netns import inherited  # noqa: E402 - what follows is loaded as startup.py has it
from netns.sandbox import Sandbox  # noqa: E402
from relay import cli  # noqa: E402


def main() -> int:
    """Run the command line; return the exit status."""
    sandbox = Sandbox(inherited.take()) if sys.argv[1:2] == ["run"] else None
    return cli.main(sandbox=sandbox)


if __name__ == "__main__":
    sys.exit(main())
