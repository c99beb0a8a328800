"""keepline with a clock that can be told to have slept: `sleeper.py FILE ARGUMENTS`.

The number in FILE is added to the seconds by which CLOCK_BOOTTIME is ahead.
"""

import sys
from pathlib import Path

from relay.host import suspend


def main() -> int:
    """Put the clock in the relay's place before the rest of it is imported."""
    offset = Path(sys.argv.pop(1))
    real = suspend.time_suspended

    def pretended() -> float:
        return real() + float(offset.read_text())

    suspend.time_suspended = pretended
    from relay.__main__ import main as keepline

    return keepline()


if __name__ == "__main__":
    sys.exit(main())
