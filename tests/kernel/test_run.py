"""The command does not notice: it runs as its caller would have run it, and its status is ours."""

import json
import os
import signal
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from netns import syscalls
from netns.plan import OWN_ADDRESS
from relay import __version__
from relay.host.resolv_conf import WAIT
from tests.support.command.inside import inside
from tests.support.command.keepline import Done, Keepline
from tests.support.command.terminal import processes
from tests.support.internet.hosts import Host
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.world import NAMES, OTHER_NAMES, SERVER, Internet
from tests.support.pace import patience

ROOT = os.getuid() == 0
TIMES = f"options timeout:50 attempts:10 {WAIT}"


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


def in_shell(script: str) -> list[str]:
    return ["sh", "-c", script]


# Exit status


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 125", 125),
        ("kill -KILL $$", 137),
        ("kill -SEGV $$", 139),
        ("kill -INT $$", 130),
        ("kill -HUP $$", 129),
    ],
)
async def test_the_status_is_the_commands_own(keepline: Keepline, script: str, status: int) -> None:
    done = await keepline.run(*in_shell(script), check=False)
    assert (done.status, done.stdout, done.stderr) == (status, b"", "")


async def test_a_command_that_is_not_there_is_127(keepline: Keepline) -> None:
    for program in ("no-such-program", "./no-such-program", ""):
        done = await keepline.run(program, check=False)
        assert (done.status, done.stdout) == (127, b"")
        assert done.stderr == f"keepline: {program}: No such file or directory\n"


async def test_a_command_that_cannot_be_executed_is_126(keepline: Keepline, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x7fELF junk")
    junk.chmod(0o755)
    for program, why in (
        (plain, "Permission denied"),
        (tmp_path, "Permission denied"),
        (junk, "Exec format error"),
        (plain / "below", "Not a directory"),
    ):
        done = await keepline.run(str(program), check=False)
        assert (done.status, done.stdout) == (126, b"")
        assert done.stderr == f"keepline: {program}: {why}\n"


async def test_the_status_is_kept_with_all_standard_streams_closed(keepline: Keepline) -> None:
    for script, status in (
        ('"$@" <&- >&- 2>&-', 5),
        ('"$@" 2>&-', 5),
    ):
        argv = keepline.argv("run", "--", *in_shell("exit 5"))
        closed = await keepline.host.run_process(
            ["sh", "-c", script, "sh", *argv], env=keepline.environment, check=False
        )
        assert closed.returncode == status
        argv = keepline.argv("run", "--", "no-such-program")
        closed = await keepline.host.run_process(
            ["sh", "-c", script, "sh", *argv], env=keepline.environment, check=False
        )
        assert closed.returncode == 127


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["no-such"], "invalid choice: 'no-such'"),
        (["run"], "there is no command to run"),
        (["run", "--"], "there is no command to run"),
        (["run", "--no-such", "--", "true"], "unrecognized arguments: --no-such"),
        (["run", "--keepidle", "soon", "--", "true"], "--keepidle: keepidle: Expected `int`"),
        (["run", "--keepidle", "0", "--", "true"], "--keepidle: keepidle: Expected `int` >= 1"),
        (["run", "--dns", "some", "--", "true"], "argument --dns: invalid choice: 'some'"),
        (["run", "--nameservers", "::1", "--", "true"], "'::1' is not an IPv4 ADDRESS[:PORT]"),
        (["run", "--allow", "a b", "--", "true"], "--allow: allow: 'a b': the form is HOST[:PORT]"),
        (["explain"], "there is no session in"),
        (["log"], "there is no session in"),
    ],
)
async def test_bad_usage_is_125(keepline: Keepline, arguments: list[str], told: str) -> None:
    done = await keepline.call(*arguments)
    assert (done.status, done.stdout) == (125, b"")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


async def test_an_invalid_setting_is_125_with_file_line_and_key(keepline: Keepline) -> None:
    def own_failure(done: Done) -> list[str]:
        assert (done.status, done.stdout, done.events) == (125, b"", [])
        cause, fix = done.stderr.splitlines()
        assert fix.startswith("  try: ")
        return cause.split(": ", 2)

    keepline.config.write_text("keepintvl = 5\n# a comment\nkeepidle = 'soon'\n")
    done = await keepline.run("true", check=False)
    assert own_failure(done) == [
        "keepline",
        f"{keepline.config}:3",
        "keepidle: Expected `int`, got `str`",
    ]
    keepline.config.write_bytes(b"\xff\n")
    assert own_failure(await keepline.run("true", check=False))[1] == str(keepline.config)
    keepline.config.unlink()
    keepline.config.mkdir()
    done = await keepline.run("true", check=False)
    assert own_failure(done)[1:] == [str(keepline.config), "Is a directory"]
    keepline.config.rmdir()
    done = await keepline.run("true", check=False, env={"KEEPLINE_LOG_LIMIT": "0"})
    assert own_failure(done)[1] == "KEEPLINE_LOG_LIMIT"
    done = await keepline.run("true", check=False, env={"KEEPLINE_KEEP_IDLE": "1"})
    assert own_failure(done)[1:] == ["KEEPLINE_KEEP_IDLE", "keep_idle: there is no such setting"]


async def test_the_command_begins_where_the_options_end(keepline: Keepline) -> None:
    for arguments in (
        ["--", "echo", "--json", "--", "-x"],
        ["echo", "--json", "--", "-x"],
        ["--dns", "real", "--", "echo", "--json", "--", "-x"],
    ):
        done = await keepline.call("run", *arguments)
        assert (done.status, done.stdout, done.stderr) == (0, b"--json -- -x\n", "")


async def test_version_and_help_are_for_stdout(keepline: Keepline) -> None:
    done = await keepline.call("--version")
    assert (done.status, done.stdout) == (0, f"keepline {__version__}\n".encode())
    done = await keepline.call("run", "--help")
    assert done.status == 0
    assert b"keepline run [options] -- COMMAND [ARG ...]" in done.stdout


# The same process


async def facts(keepline: Keepline, **options: Any) -> dict[str, Any]:
    """Have the command tell what it is under keepline."""
    async with keepline.start(*inside("facts"), **options) as session:
        told: dict[str, Any] = json.loads((await session.end()).stdout)
    return told


async def facts_without(keepline: Keepline, **options: Any) -> dict[str, Any]:
    """Have it tell what it is in the host itself."""
    run = partial(keepline.host.run, inside("facts"), stdout=subprocess.PIPE, **options)
    told: dict[str, Any] = json.loads((await trio.to_thread.run_sync(run)).stdout)
    return told


async def test_all_that_a_process_knows_of_itself_is_the_same(
    keepline: Keepline, tmp_path: Path
) -> None:
    environment = {"KEPT": "ü\udcff", "EMPTY": ""}
    with (tmp_path / "in").open("wb+") as given, (tmp_path / "out").open("wb+") as taken:
        options: dict[str, Any] = {"cwd": tmp_path, "umask": 0o27, "stdin": given, "stderr": taken}
        without = await facts_without(keepline, **options, env=keepline.environment | environment)
        within = await facts(keepline, **options, env=environment)
    assert within["environment"].pop("KEEPLINE_SESSION")
    for told in (without, within):
        assert told["files"].pop(1)  # each has a pipe of its own
    assert without.pop("new privileges").strip() == "0"
    assert within.pop("new privileges").strip() == ("0" if os.getuid() == 0 else "1")
    assert within == without
    assert within["folder"] == str(tmp_path)
    assert within["descriptors"] == [0, 1, 2]
    assert within["umask"] == 0o27


async def test_signals_are_ignored_and_blocked_as_outside(keepline: Keepline) -> None:
    async def shown(*prefix: str) -> dict[str, str]:
        read = ["grep", "^Sig[A-Z]", "/proc/self/status"]
        script = 'trap "" INT QUIT USR1 HUP; exec "$@"'
        done = await keepline.host.run_process(
            ["sh", "-c", script, "sh", *prefix, *read], env=keepline.environment
        )
        return dict(line.split(":\t") for line in done.stdout.decode().splitlines())

    without, within = await shown(), await shown(*keepline.argv("run", "--"))
    for what in ("SigIgn", "SigBlk", "SigCgt"):
        assert within[what] == without[what], what
    assert int(within["SigIgn"], 16) & 1 << (signal.SIGPIPE - 1) == 0
    done = await keepline.run("bash", "-o", "pipefail", "-c", "yes | head -n 1", check=False)
    assert (done.status, done.stdout, done.stderr) == (128 + signal.SIGPIPE, b"y\n", "")


async def test_arguments_of_any_bytes_come_through(keepline: Keepline) -> None:
    arguments = ["ü", "\udcff\udcfe", "", "a b", "new\nline", "'\"\\", "x" * 100_000]
    done = await keepline.run("printf", "%s\\0", *arguments)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(text) for text in arguments]


async def test_standard_streams_pass_through(keepline: Keepline) -> None:
    data = bytes(range(256)) * 4096
    done = await keepline.run(*in_shell("cat; echo told >&2"), stdin=data)
    assert (done.stdout, done.stderr) == (data, "told\n")


async def test_keepline_within_keepline_works(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery
) -> None:
    """As in a script that says `keepline run` and is itself run so."""
    await nursery.start(serve, Site(), listen(internet.server, SERVER, 80))
    script = in_shell("curl -sS http://v4.test/; exit 6")
    done = await keepline.run(*keepline.argv("run", "--", *script), check=False)
    assert (done.status, done.stdout, done.stderr) == (6, b"hello", "")


# Signals


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
async def test_a_signal_to_keepline_reaches_the_command(keepline: Keepline, number: str) -> None:
    async with keepline.start(*inside("hear")) as session:
        assert await session.readline() == b"ready\n"
        session.process.send_signal(signal.Signals[number])
        done = await session.end()
    assert (done.status, done.stdout, done.stderr) == (7, f"{number}\n".encode(), "")


async def test_a_command_ended_by_a_signal_passed_on_reports_it(keepline: Keepline) -> None:
    async with keepline.start("sleep", "600") as session:
        assert session.process.poll() is None
        await until_running(session.pid, "sleep")
        session.process.send_signal(signal.SIGTERM)
        done = await session.end()
    assert (done.status, done.stderr) == (128 + signal.SIGTERM, "")


async def test_interrupts_of_the_group_are_for_the_command_to_decide(keepline: Keepline) -> None:
    async with keepline.start(*inside("outlive_interrupts"), process_group=0) as session:
        assert await session.readline() == b"ready\n"
        os.killpg(session.pid, signal.SIGINT)
        assert await session.readline() == b"SIGINT\n"
        os.killpg(session.pid, signal.SIGQUIT)
        done = await session.end()
    assert (done.status, done.stdout, done.stderr) == (5, b"SIGQUIT\n", "")


async def test_an_interrupt_ends_a_command_that_takes_it_so(keepline: Keepline) -> None:
    async with keepline.start("sleep", "600", process_group=0) as session:
        await until_running(session.pid, "sleep")
        os.killpg(session.pid, signal.SIGINT)
        done = await session.end()
    assert (done.status, done.stderr) == (128 + signal.SIGINT, "")


async def until_running(parent: int, program: str) -> int:
    """Wait until a child of `parent` has become the program; give its pid."""
    with trio.fail_after(patience(10)):
        while True:
            for process in await processes(parent):
                if process.name == program:
                    return process.pid
            await trio.sleep(0.01)


# Privileges


async def test_the_network_is_out_of_reach_and_ids_are_the_callers(
    keepline: Keepline, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("")
    done = await keepline.run(*inside("privileges", str(mine)))
    for_root = "done" if ROOT else "EPERM"
    assert done.stdout.decode().splitlines() == [
        "add an address: EPERM",
        "change a route: EPERM",
        "raw socket: EPERM",
        "packet socket: EPERM",
        f"bind port 80: {'done' if ROOT else 'EACCES'}",
        "mark packets: EPERM",
        "host's network: EACCES",
        "mount: EPERM",
        "unmount resolv.conf: EPERM",
        f"give a file away: {for_root if ROOT else 'EINVAL'}",
        f"become another: {for_root if ROOT else 'EINVAL'}",
    ]


async def test_capabilities_are_none_or_for_root_those_over_files_and_ids(
    keepline: Keepline,
) -> None:
    done = await keepline.run("grep", "^Cap", "/proc/self/status")
    sets = {
        line.split(":")[0]: int(line.split()[1], 16) for line in done.stdout.decode().splitlines()
    }
    kept = sum(1 << n for n in (*range(9), 18, 31)) if ROOT else 0
    assert sets == {"CapInh": 0, "CapPrm": kept, "CapEff": kept, "CapBnd": kept, "CapAmb": 0}


async def test_a_new_user_namespace_brings_no_power_over_the_network(keepline: Keepline) -> None:
    code = (
        "import socket; from netns import syscalls; syscalls.unshare(syscalls.CLONE_NEWUSER)\n"
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)"
    )
    done = await keepline.run(inside("")[0], "-I", "-c", code, check=False)
    assert done.status == 1
    assert "PermissionError" in done.stderr.splitlines()[-1]


# Files


async def test_resolv_conf_names_us_alone_and_keeps_the_rest(
    internet: Internet, keepline: Keepline
) -> None:
    internet.client.resolv_conf.write_text(
        f"# kept\nsearch example.test test\nnameserver {NAMES}\nnameserver {OTHER_NAMES}\n"
        "options ndots:2 rotate\n"
    )
    done = await keepline.run("cat", "/etc/resolv.conf")
    assert done.stdout.decode() == (
        f"# kept\nsearch example.test test\nnameserver {OWN_ADDRESS}\noptions ndots:2\n{TIMES}\n"
    )


async def test_the_command_cannot_change_what_it_sees_for_others(
    internet: Internet, keepline: Keepline
) -> None:
    before = internet.client.resolv_conf.read_text()
    await keepline.run(*in_shell("echo '# mine' >> /etc/resolv.conf"), check=False)
    assert internet.client.resolv_conf.read_text() == before


async def test_nsswitch_has_no_source_that_asks_outside(
    internet: Internet, keepline: Keepline
) -> None:
    nsswitch = internet.client.directory / "nsswitch.conf"
    nsswitch.write_text(
        "passwd: files\nhosts: mymachines resolve [!UNAVAIL=return] files dns\nservices: files\n"
    )
    done = await keepline.run("cat", "/etc/nsswitch.conf")
    assert done.stdout.decode() == "passwd: files\nhosts: files dns\nservices: files\n"


async def test_ways_to_other_resolvers_are_closed(internet: Internet, keepline: Keepline) -> None:
    with ExitStack() as sockets:
        with_systemd(internet.client, internet.directory / "systemd", sockets)
        outside = await internet.client.run_process(inside("knock", *BYPASSES))
        assert outside.stdout.decode().split() == ["connected"] * len(BYPASSES)
        within = await keepline.run(*inside("knock", *BYPASSES))
        assert set(within.stdout.decode().split()) <= {"ENOENT", "ECONNREFUSED"}
    shown = await keepline.run("cat", "/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf")
    text = f"nameserver {OWN_ADDRESS}\noptions edns0 trust-ad\nsearch example.test\n{TIMES}\n"
    assert shown.stdout.decode() == text * 2
    resolved = await keepline.run(*inside("resolve", "v4.test"))
    assert resolved.stdout.startswith((b"198.18.", b"198.19."))


BYPASSES = (
    "/run/nscd/socket",
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/avahi-daemon/socket",
    "/run/dbus/system_bus_socket",
)


def with_systemd(host: Host, folder: Path, sockets: ExitStack) -> None:
    """Lay out /etc and /run in the host as systemd-resolved, nscd, avahi and D-Bus do."""
    etc = folder / "etc"
    etc.mkdir(parents=True)
    for name in ("passwd", "group", "hosts"):
        (etc / name).write_bytes(Path("/etc", name).read_bytes())
    (etc / "nsswitch.conf").write_text("hosts: mymachines resolve [!UNAVAIL=return] files dns\n")
    (etc / "resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    for path in BYPASSES:
        place = folder / path.removeprefix("/")
        place.parent.mkdir(parents=True)
        listener = sockets.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(place))
        listener.listen()
    stub = folder / "run/systemd/resolve/stub-resolv.conf"
    stub.write_text(f"nameserver {NAMES}\noptions edns0 trust-ad\nsearch example.test\n")

    def cover() -> None:
        for name in ("etc", "run"):
            syscalls.mount(str(folder / name), f"/{name}", flags=syscalls.MS_BIND)

    host.call(cover)


async def test_the_hosts_mounts_stay_as_they_are(internet: Internet, keepline: Keepline) -> None:
    def mounts() -> str:
        return internet.client.call(Path("/proc/thread-self/mountinfo").read_text)

    before = mounts()
    async with keepline.start("cat") as session:
        session.write(b"\n")
        await session.readline()
        assert mounts() == before
        await session.end()
    assert mounts() == before


async def test_the_real_tmp_is_seen_and_written(keepline: Keepline) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = trio.Path(name)
        await (folder / "outside").write_text("seen")
        done = await keepline.run(*in_shell("cat outside; echo made > inside"), cwd=name)
        assert done.stdout == b"seen"
        assert await (folder / "inside").read_text() == "made\n"


async def test_a_script_without_an_interpreter_line_is_run_by_the_shell(
    keepline: Keepline, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 5\n')
    script.chmod(0o755)
    done = await keepline.run(str(script), "word", check=False)
    assert (done.status, done.stdout, done.stderr) == (5, b"word\n", "")
