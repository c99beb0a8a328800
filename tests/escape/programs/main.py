"""Tries one way out: reads the facts from the working folder, writes what it met, and waits.

The way is tried in the caller's working folder, which the levels leave visible: `facts.json` comes
when the session runs, `met.json` is what the program met, and `go` is when it may end. So stdin and
stdout are free to be what a way needs them to be.
"""

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

from .met import attempt, words
from .waiting import wait_for


def main() -> None:
    """Run the function that argv names, MODULE FUNCTION."""
    module, function = sys.argv[1:]
    wait_for(Path("facts.json"))
    facts = SimpleNamespace(**json.loads(Path("facts.json").read_text()))
    told = None
    with attempt():
        told = getattr(importlib.import_module(f"{__package__}.{module}"), function)(facts)
    Path("met.new").write_text(json.dumps({"met": words(), "told": told}))
    Path("met.new").rename("met.json")
    wait_for(Path("go"))
