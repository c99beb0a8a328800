"""What each trick of relay/startup.py saves: `true` is started with all of them, and without one.

    python -m tests.bench.startup [ROUNDS]        # as an ordinary user or as root; a quiet machine

The variants take turns; a figure is the median over the rounds of the difference, in milliseconds.
"""

import statistics
import subprocess
import sys
import time
from typing import Final

_START: Final = "; from relay.__main__ import main; import sys; sys.argv = {argv}; sys.exit(main())"
_COMMAND: Final = ["keepline", "run", "--", "true"]


def _but(prefix: str) -> str:
    return f"startup.DEFERRED = {{n for n in startup.DEFERRED if not n.startswith({prefix!r})}}"


WITHOUT: Final = {
    "all of them": "",
    "gc.disable": "startup.gc.disable = lambda: None",
    "trio and server: while the child builds": "startup.DEFERRED -= {'relay.server', 'trio'}",
    "the child's part: in the child": (
        "startup.DEFERRED -= {'netns.child', 'netns.network.interception', 'netns.network.links'}"
    ),
    "flags: where there are any": "startup.DEFERRED -= {'argparse', 'relay.flags', 'shutil'}",
    "cli: after the fork": "startup.DEFERRED -= {'relay.cli'}",
    "dnspython: at the first question": _but("relay.dns"),
    "the gateway: when there is one": (
        _but("relay.gateway") + "; startup.PACKAGES += startup.GATEWAY_PACKAGES;"
        " startup.LIBRARY += startup.GATEWAY_LIBRARY"
    ),
    "what other commands need": (
        "startup.DEFERRED -= {'relay.doctor', 'relay.record.story.telling', 'relay.record.status',"
        " 'relay.record.view', 'tomllib', 'traceback'}"
    ),
    "any of them": (
        "startup.DEFERRED = startup.UNUSED = frozenset(); startup.gc.disable = lambda: None"
    ),
}


def seconds(change: str) -> float:
    """Start `true` once; return the seconds until it has ended and keepline with it."""
    code = f"from relay import startup; {change or 'pass'}" + _START.format(argv=_COMMAND)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
    return time.perf_counter() - began


def main(rounds: int) -> None:
    """Print a line for each trick."""
    found: dict[str, list[float]] = {name: [] for name in WITHOUT}
    for number in range(rounds):
        order = list(WITHOUT)
        for name in order if number % 2 == 0 else reversed(order):
            found[name].append(seconds(WITHOUT[name]) * 1000)
    base = found["all of them"]
    sys.stdout.write(f"{statistics.median(base):7.1f} ms with all of them\n")
    for name, figures in list(found.items())[1:]:
        saved = statistics.median(a - b for a, b in zip(figures, base, strict=True))
        sys.stdout.write(f"{saved:+7.1f} ms without {name}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
