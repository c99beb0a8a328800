"""scripts/lanes runs commands side by side, says whole what each said, and fails if one does."""

import os
import select
import subprocess
from pathlib import Path

from tests.support.faults.injector import ROOT
from tests.support.pace import patience


def lanes(script: str, folder: Path) -> subprocess.Popen[str]:
    """Start a script that has lanes."""
    text = f'set -euo pipefail; cd "$2"; source "$1/scripts/lanes"; {script}'
    argv = ["bash", "-c", text, "bash", str(ROOT), str(folder)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_lanes_run_side_by_side_and_what_fails_is_named_last(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "barrier")
    script = """
        lane 'the first' sh -c 'cat barrier; exit 3'
        lane 'the second' sh -c 'echo word >barrier; echo told >&2'
        finish
        echo never"""
    process = lanes(script, tmp_path)
    said = process.communicate()[0].split("\n\n")
    assert process.returncode == 1
    assert [part.splitlines()[:2] for part in said[:3]] == [
        ["begun: the first", "begun: the second"],
        ["==== the first ====", "word"],
        ["==== the second ====", "told"],
    ]
    assert said[-1] == "FAILED: the first\n"


def test_lanes_end_with_their_script(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pid")
    process = lanes("lane one sh -c 'echo $$ >pid; exec sleep 1000'; finish", tmp_path)
    pidfd = os.pidfd_open(int((tmp_path / "pid").read_text()))
    try:
        process.terminate()
        process.communicate()
        assert select.select([pidfd], [], [], patience(10))[0]
    finally:
        os.close(pidfd)
