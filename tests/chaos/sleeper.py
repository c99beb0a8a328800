"""keepline with a clock that can be told to have slept: `sleeper.py FILE ARGUMENTS`.

The number in FILE is added to the seconds by which CLOCK_BOOTTIME is ahead.
"""

import sys
from pathlib import Path

from relay.host import network as weather


def main() -> int:
    """Put the clock in the relay's place before the rest of it is imported."""
    offset = Path(sys.argv.pop(1))
    real = weather.boottime_lead

    def lead() -> float:
        return real() + float(offset.read_text())

    weather.boottime_lead = lead
    from relay.__main__ import main as keepline

    return keepline()


if __name__ == "__main__":
    sys.exit(main())
