"""The command finds the environment, the streams and the folder that its caller has left it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command.keepline import Keepline
from tests.support.internet.world import Internet

SHOWN = "/proc/self/environ"
ODD = [
    *(b"PATH=" + os.fsencode(os.environ["PATH"]), b"TWICE=1", b"TWICE=2", b"no equals sign", b"="),
    *(b"=before", b"EMPTY=", b"BYTES=\xff\xfe", b"LINES=a\nb", b"LC_ALL=C"),
]
START = """
import os, sys
from netns import syscalls
program, *argv = sys.argv[1:]
syscalls.execve(os.fsencode(program), [os.fsencode(each) for each in sys.argv[1:]], {!r})
"""


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


def shown(keepline: Keepline, *argv: str) -> list[bytes]:
    """Return the environment of a program, byte for byte, whose caller has the odd one."""
    state = [f"XDG_{kind}_HOME={keepline.folder}/{kind}".encode() for kind in ("STATE", "CONFIG")]
    start = [sys.executable, "-I", "-c", START.format([*ODD, *state]), *argv]
    done = keepline.host.popen(start, stdout=subprocess.PIPE)
    entries: list[bytes] = done.communicate()[0].split(b"\0")
    return entries[:-1]


async def test_every_entry_of_the_environment_is_passed_on(keepline: Keepline) -> None:
    bare = shown(keepline, "/bin/cat", SHOWN)
    *kept, own = shown(keepline, *keepline.argv("run", "--", "/bin/cat", SHOWN))
    assert kept == bare
    assert own.startswith(b"KEEPLINE_SESSION=")


async def test_what_the_interpreter_adds_for_itself_is_not_passed_on(keepline: Keepline) -> None:
    """Without a locale it sets LC_CTYPE, PEP 538."""
    done = await keepline.host.run_process(
        ["env", "-i", f"XDG_STATE_HOME={keepline.folder}", *keepline.argv("run", "--", "env")]
    )
    names = [line.partition("=")[0] for line in done.stdout.decode().splitlines()]
    assert names == ["XDG_STATE_HOME", "KEEPLINE_SESSION"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
async def test_closed_streams_are_closed_for_the_command(
    keepline: Keepline, tmp_path: Path, closed: str
) -> None:
    """And nothing of keepline's stands in their place."""
    out = tmp_path / "out"
    script = (
        f'exec 9>"{out}"; for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n; done >&9; exit 4'
    )
    shells = ["bash", "-c", f'"$@" {closed}; echo "status $?" >>"{out}"', "sh"]
    told = {}
    for way, before in {"bare": [], "keepline": keepline.argv("run", "--")}.items():
        argv = [*shells, *before, "bash", "-c", script]
        done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
        told[way] = (out.read_text(), done.stdout, done.stderr)
    assert told["keepline"] == told["bare"]
    assert told["bare"][0].endswith("status 4\n")


@pytest.mark.parametrize("where", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>&-", "| true"])
async def test_output_that_nobody_can_take_is_no_defect(keepline: Keepline, where: str) -> None:
    await keepline.run("true")
    for arguments in (["status"], ["doctor"], ["log"], ["log", "--json"], ["explain"]):
        argv = ["bash", "-c", f'"$@" {where}; exit ${{PIPESTATUS[0]}}', "sh"]
        done = await keepline.host.run_process(
            [*argv, *keepline.argv(*arguments)], env=keepline.environment, check=False
        )
        assert done.stderr == b"", arguments
        assert done.returncode == (125 if "full" in where else 0), arguments


async def test_a_full_stdout_is_told_with_what_to_try(keepline: Keepline) -> None:
    await keepline.run("true")
    with open("/dev/full", "wb") as full:  # noqa: ASYNC230, PTH123
        for arguments in (["status"], ["doctor"], ["log"], ["log", "--json"], ["--version"]):
            done = await keepline.call(*arguments, stdout=full)
            cause, fix = done.stderr.splitlines()
            assert cause.endswith("cannot write what was asked for: No space left on device")
            assert fix.startswith("  try: ")
            assert done.status == 125


async def test_a_folder_that_was_removed_is_no_obstacle(keepline: Keepline, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f'mkdir "{gone}"; cd "{gone}"; rmdir "{gone}"; "$@"'
    argv = ["bash", "-c", script, "sh", *keepline.argv("run", "--", "readlink", "/proc/self/cwd")]
    done = await keepline.host.run_process(argv, env=keepline.environment)
    assert done.stdout.decode() == f"{gone} (deleted)\n"


async def test_modules_of_the_caller_are_the_commands_alone(
    keepline: Keepline, tmp_path: Path
) -> None:
    """As in a project that has a package `relay`; scripts/package tries what pip makes."""
    script = tmp_path / "keepline"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom keepline import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    project = tmp_path / "project"
    (project / "relay").mkdir(parents=True)
    for name in ("relay/__init__", "netns", "trio", "signal", "socket", "msgspec"):
        (project / f"{name}.py").write_text("raise SystemExit('the project was imported')\n")
    told = 'echo "$PYTHONPATH"; python3 -c "import relay"'
    environment = keepline.environment | {"PYTHONPATH": str(project)}
    for variables in (environment, keepline.environment):
        done = await keepline.host.run_process(
            [str(script), "run", "--", "sh", "-c", told],
            env=variables,
            cwd=str(project),
            check=False,
        )
        assert done.stdout.decode().strip() == variables.get("PYTHONPATH", "")
        assert done.returncode == 1
