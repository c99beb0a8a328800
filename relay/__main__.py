"""Starts the child before the rest is imported: it has 0.1 s of imports of its own to do."""

import gc
import sys

gc.disable()  # imports make no garbage, but a tenth of the start is spent looking for it

from netns.sandbox import Sandbox  # noqa: E402


def main() -> int:
    """Run the command line; gives the exit status."""
    sandbox = Sandbox() if sys.argv[1:2] == ["run"] else None
    from relay import cli  # noqa: PLC0415 - see above

    return cli.main(sandbox=sandbox)


if __name__ == "__main__":
    sys.exit(main())
