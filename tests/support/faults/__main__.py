"""Runs faults: in this process if it is one of several that share the work, else in others."""

import sys

from tests.support.faults import calls, options

if __name__ == "__main__":
    asked = options.parse()
    if asked.part < 0:
        from tests.support.faults.report import report

        sys.exit(report(asked))
    calls.install()
    from tests.support.faults.worker import work  # trio takes methods of socket.socket by then

    work(asked)
