"""Runs faults, as the package's docstring says; `--json` writes a line for each run."""

from tests.support.faults import calls

calls.install()

from tests.support.faults.command import main  # noqa: E402 - trio takes socket.socket's methods

main()
