"""The first process of a container, where it serves, has blocked what asks it to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

STARTED = """
import os, sys
os.getpid = lambda: int(sys.argv.pop(1))
from relay.command import first
first.prepare()
import json, signal
print(json.dumps(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))))
"""

HELD = [1, 2, 15]


@pytest.mark.parametrize(
    ("pid", "words", "held"),
    [
        (1, ["sidecar", "relay", "--state", "/x"], HELD),
        (1, ["proxy"], HELD),
        (1, ["relay", "--socket", "/x"], HELD),
        (2, ["sidecar", "relay"], []),
        (1, ["sidecar", "rules"], []),
        (1, ["run", "--", "relay"], []),
        (1, [], []),
    ],
)
def test_what_is_blocked(pid: int, words: list[str], held: list[int]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTED, str(pid), *words],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    assert json.loads(done.stdout) == held
