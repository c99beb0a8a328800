"""Starts: the child is forked before anything that it does not need is loaded."""

from relay.command import first

first.prepare()

import os  # noqa: E402 - what is imported from here on finds all in order
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402

from relay import startup  # noqa: E402

startup.begin()

import contextlib  # noqa: E402 - what follows is loaded as startup.py has it
from typing import NoReturn  # noqa: E402

from netns import hints  # noqa: E402
from netns.errors import EXIT_OWN_FAILURE  # noqa: E402
from netns.process import inherited  # noqa: E402
from netns.sandbox import Sandbox, SandboxError  # noqa: E402
from relay import cli  # noqa: E402
from relay.command import beside  # noqa: E402


def main() -> int:
    """Run the command line; return the exit status."""
    sandbox: Sandbox | OSError | SandboxError | None = None
    forked: beside.Beside | None = None
    if sys.argv[1:2] == ["run"] and not _may_ask_for_proxy(sys.argv[2:]):
        try:
            sandbox = Sandbox(inherited.take())
        except (OSError, SandboxError) as error:  # told by what can print
            sandbox = error
        else:
            forked = beside.Beside.fork()  # as early as can be: a small process is forked quickly
    try:
        run = cli.main
    except OSError as error:  # what a package asks the system as it is loaded
        return _not_loaded(error)
    status = run(sandbox=sandbox, beside=forked)
    if forked is not None:
        _leave(status)
    return status


def _leave(status: int) -> NoReturn:
    """End now: the interpreter's own way out, through all that a relay has loaded, takes 6 ms."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # the caller has closed it
            with contextlib.suppress(OSError, ValueError):  # nobody reads it
                stream.flush()
    os._exit(status)


def _may_ask_for_proxy(words: Sequence[str]) -> bool:
    """Return whether `run` may be to make no namespace, which the settings then tell for sure."""
    own = words[: words.index("--")] if "--" in words else words
    return (
        os.environ.get("KEEPLINE_INTERCEPT") == "proxy"
        or "--intercept=proxy" in own
        or any(own[at : at + 2] == ["--intercept", "proxy"] for at in range(len(own)))
    )


def _not_loaded(error: OSError) -> int:
    """Say which call was refused without which nothing can be loaded; return the exit status."""
    cause, next_step = hints.refused_call(error)
    if sys.stderr is not None:
        sys.stderr.write(f"keepline: {cause}\n  try: {next_step}\n")
    return EXIT_OWN_FAILURE


if __name__ == "__main__":
    sys.exit(main())
