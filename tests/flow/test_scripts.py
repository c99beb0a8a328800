"""scripts/env makes one environment, whoever comes at once, and says in two lines what it lacks.

The clone is a stand-in with no packages to install: what is tried is the script, not the network.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.faults.injector import ROOT

STARTS = 'import sys; print("started", *sys.argv[1:])\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone in a folder with a space, whose environment two first runs have made."""
    clone = new_clone(tmp_path_factory.mktemp("clones") / "a clone")
    both = [
        subprocess.Popen(
            [clone / "scripts/run", "word"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for _ in range(2)
    ]
    assert [process.communicate()[0] for process in both] == [b"started run -- word\n"] * 2
    return clone


def new_clone(folder: Path, requirements: str = "") -> Path:
    (folder / "relay").mkdir(parents=True)
    (folder / "scripts").mkdir()
    for name in ("env", "keepline", "run"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    (folder / "relay/__main__.py").write_text(STARTS)
    (folder / "requirements.txt").write_text(requirements)
    return folder


def call(
    program: Path, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def in_two_lines(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    cause, fix = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (125, "")
    return cause.removeprefix("keepline: "), fix.removeprefix("  try: ")


def test_a_link_from_elsewhere_starts_it(made: Path, tmp_path: Path) -> None:
    link = tmp_path / "keepline"
    link.symlink_to(made / "scripts/keepline")
    again = tmp_path / "again"
    again.symlink_to("keepline")
    assert call(again, "--version").stdout == "started --version\n"


def test_the_callers_shell_and_folder_do_not_matter(made: Path, tmp_path: Path) -> None:
    for name in ("relay.py", "sysconfig.py", "fcntl.py"):
        (tmp_path / name).write_text("raise SystemExit('taken from the caller')\n")
    env = {"CDPATH": "/:/tmp", "PYTHONPATH": str(tmp_path), "SHELLOPTS": "nounset", "PIP_USER": "1"}
    (made / ".venv/requirements.txt.installed").unlink()
    done = call(made / "scripts/keepline", "x", env=env, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("started x\n", "")
    relative = os.path.relpath(made / "scripts/keepline", tmp_path)
    assert call(Path(relative), "x", env=env, cwd=tmp_path).stdout == "started x\n"


def test_a_clone_that_has_moved_makes_it_anew(made: Path) -> None:
    moved = made.rename(made.with_name("moved"))
    try:
        done = call(moved / "scripts/keepline", "x")
        assert (done.stdout, done.stderr) == ("started x\n", "")
        first = (moved / ".venv/bin/pip").read_text().splitlines()[:2]
        assert str(moved) in "".join(first)
    finally:
        moved.rename(made)


def test_a_first_run_that_was_killed_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    clone = new_clone(tmp_path / "clone")
    first = subprocess.Popen([clone / "scripts/keepline", "x"], process_group=0)
    while not (clone / ".venv/bin/python").exists():
        assert first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    programs = clone / ".venv/programs"
    programs.mkdir(parents=True)
    done = call(clone / "scripts/keepline", "x")
    assert (done.stdout, done.stderr) == ("started x\n", "")
    assert programs.is_dir()


def test_without_a_network_the_cause_and_what_to_try_are_told(made: Path) -> None:
    needed = made / "requirements.txt"
    needed.write_text(f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    try:
        env = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
        cause, fix = in_two_lines(call(made / "scripts/keepline", "x", env=env))
    finally:
        needed.write_text("")
    assert cause.startswith("the packages of requirements.txt cannot be installed: ERROR: ")
    assert fix.startswith("connect to the network, or ")


@pytest.mark.parametrize("name", ["a:colon", "a\nline"])
def test_a_folder_that_cannot_hold_it_is_told(tmp_path: Path, name: str) -> None:
    clone = new_clone(tmp_path / name)
    cause, fix = in_two_lines(call(clone / "scripts/keepline", "x"))
    assert "cannot be in a folder with a colon or a line break" in cause
    assert fix.startswith("move the clone: ")


def test_an_older_python_is_told(tmp_path: Path) -> None:
    clone = new_clone(tmp_path / "clone")
    cause, fix = in_two_lines(call(clone / "scripts/keepline", env={"PYTHON": "no-such-python"}))
    assert cause == "no-such-python is not Python 3.11 or later"
    assert fix.startswith("PYTHON=")


def test_a_clone_that_is_read_only_runs_once_it_is_made(made: Path, tmp_path: Path) -> None:
    if os.getuid() == 0:
        return  # whom no mode keeps from writing
    made.chmod(0o555)
    clone = new_clone(tmp_path / "clone")
    clone.chmod(0o555)
    try:
        assert call(made / "scripts/keepline", "x").stdout == "started x\n"
        cause, fix = in_two_lines(call(clone / "scripts/keepline", "x"))
    finally:
        made.chmod(0o755)
        clone.chmod(0o755)
    assert "cannot be written to" in cause
    assert fix.startswith("clone it where you may write")
