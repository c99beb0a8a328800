"""Starts: the child is forked before anything that it does not need is loaded."""

from relay.command import first

first.prepare()

import sys  # noqa: E402 - what is imported from here on finds all in order

from relay import startup  # noqa: E402

startup.begin()

from netns import inherited  # noqa: E402 - what follows is loaded as startup.py has it
from netns.sandbox import Sandbox  # noqa: E402
from relay import cli  # noqa: E402
from relay.command import witness  # noqa: E402


def main() -> int:
    """Run the command line; return the exit status."""
    sandbox: Sandbox | OSError | None = None
    watching: witness.Witness | None = None
    if sys.argv[1:2] == ["run"]:
        try:
            sandbox = Sandbox(inherited.take())
        except OSError as error:  # told by what can print
            sandbox = error
        else:
            watching = witness.Witness()  # as early as can be: a small process is forked quickly
    return cli.main(sandbox=sandbox, witness=watching)


if __name__ == "__main__":
    sys.exit(main())
