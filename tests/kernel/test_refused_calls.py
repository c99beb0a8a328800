"""Where a filter forbids a call that the start needs: two lines and 125, no traceback, no hang."""

import pytest

from tests.support.command.keepline import Keepline
from tests.support.internet.world import Internet
from tests.support.machine.lacking import lacking

NEEDED = (
    *("clone", "epoll_create1", "epoll_ctl", "getpid", "getppid", "pipe2", "prctl", "recvfrom"),
    *("sendmsg", "sendto", "signalfd4", "socket", "socketpair", "uname", "unshare", "wait4"),
)

REFUSED = [(call, error) for call in NEEDED for error in ("EPERM", "ENOSYS")] + [
    ("accept4", "EPERM")  # ENOSYS has Python use accept(2)
]


OF_NAMESPACE = {"sendto", "unshare"}
"""What makes the namespace, and asks for its devices."""
WITHOUT = ["   or: keepline run --intercept=proxy"]


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


@pytest.mark.parametrize(("call", "error"), REFUSED)
async def test_a_call_that_is_forbidden_is_told_with_what_to_try(
    keepline: Keepline, call: str, error: str
) -> None:
    argv = lacking(f"{call}:{error}", *keepline.argv("run", "--", "true"))
    done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    cause, fix, *others = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (125, b"")
    assert cause.startswith("keepline: ")
    assert "defect" not in cause + fix
    assert "seccomp" in fix or call == "socket"
    assert [each.split(",")[0] for each in others] == WITHOUT * (call in OF_NAMESPACE)


FILTERS = ("seccomp:EPERM", "prctl.22:EPERM")
"""Both ways to install a filter: seccomp(2), and prctl(2) with PR_SET_SECCOMP."""


@pytest.mark.parametrize("refused", FILTERS)
async def test_one_way_to_install_a_filter_is_enough(keepline: Keepline, refused: str) -> None:
    argv = lacking(refused, *keepline.argv("run", "--", "true"))
    done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


async def test_without_a_filter_nothing_runs_and_it_is_told(keepline: Keepline) -> None:
    first, second = FILTERS
    argv = lacking(second, *keepline.argv("run", "--", "touch", str(keepline.folder / "has run")))
    argv = lacking(first, *argv)
    done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    assert (done.returncode, done.stderr.decode()) == (
        125,
        "keepline: filter of system calls: prctl: Operation not permitted\n"
        "  try: another seccomp filter is in force: start the container with --security-opt"
        " seccomp=unconfined (or a profile that allows prctl and seccomp)\n",
    )
    assert not (keepline.folder / "has run").exists()


@pytest.mark.parametrize("call", ["clone", "unshare"])
async def test_the_doctor_names_it_among_its_checks(keepline: Keepline, call: str) -> None:
    argv = lacking(f"{call}:EPERM", *keepline.argv("doctor"))
    done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    text = done.stdout.decode()
    assert "FAILS   namespace: " in text
    assert "seccomp" in text
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("refused", ["accept4:ENOSYS", "prlimit64:EPERM", "setitimer:EPERM"])
async def test_what_can_be_done_without_is_done_without(keepline: Keepline, refused: str) -> None:
    argv = lacking(refused, *keepline.argv("run", "--", "true"))
    done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
