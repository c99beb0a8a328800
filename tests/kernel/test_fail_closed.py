"""Where something is lacking, keepline says what and how to mend it, and runs nothing."""

import errno
import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
import trio

from netns import syscalls
from netns.levels import OPENINGS
from netns.network import interception
from netns.network.expressions import expression
from netns.plan import COMMON_PORTS
from relay.record.events import SessionStarted
from tests.support.command.inside import inside
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.world import NAMES, SERVER, Internet
from tests.support.machine.lacking import lacking
from tests.support.pace import patience

ROOT = os.getuid() == 0
LISTED, UNLISTED = 80, 8000


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    listeners = [listen(internet.server, SERVER, port) for port in (LISTED, UNLISTED)]
    await nursery.start(serve, Site(), *listeners)
    return Keepline(internet)


# What may be lacking: each makes it so, and gives what goes before keepline's command line.


def no_user_namespaces(_internet: Internet) -> list[str]:
    return lacking("user_namespaces")


def no_unshare(_internet: Internet) -> list[str]:
    return lacking("unshare")


def no_setfcap(_internet: Internet) -> list[str]:
    """Take it from root; an ordinary user needs none."""
    return ["setpriv", "--bounding-set", "-setfcap", "--inh-caps", "-setfcap"]


def read_only_proc(_internet: Internet) -> list[str]:
    script = 'mount --bind /proc /proc && mount -o remount,bind,ro /proc && exec "$@"'
    own = [] if ROOT else ["--user", "--map-current-user", "--keep-caps"]
    return ["unshare", "--mount", *own, "sh", "-c", script, "sh"]


def no_user_namespaces_below(_internet: Internet) -> list[str]:
    options = ("--unshare-user", "--disable-userns", "--dev-bind", "/", "/", "--proc", "/proc")
    return [needs("bwrap"), *options]


def no_ipv4(internet: Internet) -> list[str]:
    for address in [text for text in internet.access.left.addresses if ":" not in text]:
        internet.access.left.remove_address(address)
    return []


def unreadable_resolv_conf(internet: Internet) -> list[str]:
    """Let a file take its place that others may not read, nor its owner at offset 0."""
    if ROOT:
        cover = partial(syscalls.mount, "/proc/self/mem", "/etc/resolv.conf", "", syscalls.MS_BIND)
        internet.client.call(cover)
    else:
        internet.client.resolv_conf.chmod(0)
    return []


def resolvers_of_ipv6_only(internet: Internet) -> list[str]:
    internet.client.use_resolvers("2001:db8:2::53")
    return []


WITHOUT = (
    "   or: keepline run --intercept=proxy, which needs no namespace; programs that ignore proxies"
    " go past it\n"
)

LACKS = {
    no_user_namespaces: (
        "user namespace: unshare: No space left on device",
        "as root: sysctl user.max_user_namespaces=15000",
    ),
    no_unshare: (
        "user namespace: unshare: Operation not permitted",
        (
            "a seccomp filter is in force: start the container with --security-opt seccomp=FILE,"
            " where FILE is packaging/seccomp.json of keepline's source, or with --security-opt"
            " seccomp=unconfined"
        ),
    ),
    read_only_proc: (
        f"id map: {'uid_map' if ROOT else 'setgroups'}: Read-only file system",
        (
            "/proc is read-only here: give the container or sandbox one that can be written"
            " (bwrap --proc /proc)"
        ),
    ),
    no_user_namespaces_below: (
        "user namespace: unshare: No space left on device",
        (
            "take `--disable-userns` from the bwrap around this; or too many namespaces are open:"
            " end some, or raise user.max_*_namespaces with sysctl"
        ),
    ),
    no_ipv4: (
        "no IPv4: no interface has an IPv4 address besides loopback",
        "connect this machine to a network with IPv4: keepline sends no IPv6",
    ),
    unreadable_resolv_conf: (
        f"/etc/resolv.conf: {'Input/output error' if ROOT else 'Permission denied'}",
        "make it readable: chmod a+r /etc/resolv.conf",
    ),
    resolvers_of_ipv6_only: (
        "/etc/resolv.conf names IPv6 name servers only, which keepline does not ask",
        "name one with an IPv4 address: --nameservers ADDRESS, or nameservers in config.toml",
    ),
}

if ROOT:
    LACKS[no_setfcap] = (
        "id map: uid_map: Operation not permitted",
        (
            "root needs the capability SETFCAP to map itself: start the container with --cap-add"
            " SETFCAP, or run as another user (--user)"
        ),
    )


async def test_a_host_without_any_network_is_in_an_outage(
    internet: Internet, keepline: Keepline
) -> None:
    for address in tuple(internet.access.left.addresses):
        internet.access.left.remove_address(address)
    assert (await keepline.run("true")).status == 0


async def test_where_there_is_nothing_but_loopback_that_is_told(keepline: Keepline) -> None:
    alone = ["unshare", "--net", *(() if ROOT else ("--user", "--map-current-user"))]
    cause = "there is no network here but loopback, as with --network=none: "
    done = await run(keepline, alone, "run", "--", "true")
    assert done.returncode == 0
    assert done.stderr.decode().startswith(f"keepline: {cause}")
    told = await run(keepline, alone, "doctor")
    assert f"lacks   IPv4 on this host: {cause}" in told.stdout.decode()


@pytest.mark.parametrize("lack", LACKS)
async def test_the_cause_and_the_fix_are_told_and_nothing_runs(
    internet: Internet, keepline: Keepline, lack: Callable[[Internet], list[str]]
) -> None:
    prefix = lack(internet)
    cause, fix = LACKS[lack]

    done = await run(keepline, prefix, "run", "--", "touch", str(keepline.folder / "has run"))
    assert (done.returncode, done.stdout) == (125, b"")
    without = WITHOUT if cause.startswith(("user namespace", "id map")) else ""
    assert done.stderr.decode() == f"keepline: {cause}\n  try: {fix}\n{without}"
    assert not (keepline.folder / "has run").exists()
    assert not keepline.sessions.exists()

    told = await run(keepline, prefix, "doctor")
    assert (told.returncode, told.stderr) == (1, b"")
    lines = told.stdout.decode().splitlines()
    (failed,) = [number for number, line in enumerate(lines) if line.startswith("FAILS")]
    assert lines[failed].endswith(f": {cause}")
    assert lines[failed + 1] == f"        try: {fix}"

    as_json = await run(keepline, prefix, "doctor", "--json")
    assert (as_json.returncode, as_json.stderr) == (1, b"")
    checks = json.loads(as_json.stdout)
    (check,) = [one for one in checks if one["needed"] and not one["works"]]
    assert (check["detail"], check["fix"]) == (cause, fix)


async def run(
    keepline: Keepline, prefix: list[str], *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(patience(30)):
        return await keepline.host.run_process(
            [*prefix, *keepline.argv(*arguments)], env=keepline.environment, check=False
        )


async def test_doctor_finds_nothing_where_all_works(keepline: Keepline) -> None:
    told = await keepline.call("doctor")
    assert (told.status, told.stderr) == (0, "")
    lines = told.stdout.decode().splitlines()
    tried = [line for line in lines if not line.startswith("open    ")]
    assert all(line.startswith("works   ") for line in tried if "TCP_RTO_MAX_MS" not in line)
    checks = json.loads((await keepline.call("doctor", "--json")).stdout)
    assert [check["name"] for check in checks if not check["is_open"]] == [
        "gateway, for claude",
        "settings",
        "IPv4 on this host",
        "resolvers",
        "addresses that stand for names",
        "user namespace",
        "id map",
        "network and mount namespace",
        "loopback and routes",
        "name server on port 53",
        "interception of TCP",
        "resolv.conf and nsswitch.conf",
        "capabilities dropped",
        "system calls refused",
        "what resolves names is covered",
        "best interception (tproxy)",
        "the host's interface and addresses are shown",
        "ports of the host's loopback can be opened (--host-port)",
        "a connect() is held until its destination is reached",
        "servers inside are reached from the host (--publish)",
        "all that --strict promises",
        "a proxy, which needs no namespace (run --intercept=proxy, keepline proxy)",
        "short retransmission back-off (TCP_RTO_MAX_MS)",
        "flight log",
    ]


async def test_doctor_names_what_each_level_leaves_open(keepline: Keepline) -> None:
    told = (await keepline.call("doctor")).stdout.splitlines()
    shown = [line.decode() for line in told if line.startswith(b"open    ")]
    left = [each for each in OPENINGS if each.is_for_user or ROOT]
    assert [line.partition(": ")[2] for line in shown] == [each.sentence for each in left]
    assert any("files, at the levels default and strict" in line for line in shown)


async def test_doctor_finds_an_invalid_setting_and_tries_the_rest(keepline: Keepline) -> None:
    keepline.config.write_text("keepidle = 0\n")
    told = await keepline.call("doctor")
    assert told.status == 1
    _gateway, first, fix, *rest = told.stdout.decode().splitlines()
    assert first == f"FAILS   settings: {keepline.config}:1: keepidle: Expected `int` >= 1"
    assert fix.startswith("        try: ")
    assert any(line.startswith("works   capabilities dropped") for line in rest)


async def test_doctor_leaves_nothing_behind(keepline: Keepline) -> None:
    await keepline.call("doctor")
    assert not keepline.sessions.exists()


async def test_resolvers_of_the_settings_do_where_the_hosts_do_not(
    internet: Internet, keepline: Keepline
) -> None:
    resolvers_of_ipv6_only(internet)
    await reaches(keepline, "v4.test", "--nameservers", NAMES)
    assert (await keepline.call("doctor", env={"KEEPLINE_NAMESERVERS": NAMES})).status == 0


# Where nothing may be mounted

STAYS: Final = (
    "resolv.conf and nsswitch.conf stay as they are, and what comes to resolve names by a"
)


@pytest.mark.parametrize("error", ["EPERM", "EACCES", "ENOSYS"])
async def test_without_mounts_names_are_answered_all_the_same(
    keepline: Keepline, error: str
) -> None:
    script = 'echo "$RES_OPTIONS"; curl -sS -m 10 http://server.test/'
    env = {"RES_OPTIONS": "ndots:2"}
    argv = lacking(f"mount:{error}", *keepline.argv("run", "--", "sh", "-c", script))
    done = await keepline.host.run_process(argv, env=keepline.environment | env, check=False)
    assert (done.returncode, done.stdout) == (0, b"ndots:2 timeout:30 attempts:5\nhello")
    (line,) = done.stderr.decode().splitlines()
    why = os.strerror(getattr(errno, error))
    assert line.startswith(f"keepline: nothing can be mounted here ({why}): {STAYS}")

    told = await run(keepline, lacking(f"mount:{error}"), "doctor")
    assert told.returncode == 0
    assert f"lacks   what resolves names is covered: nothing can be mounted here ({why})" in (
        told.stdout.decode()
    )
    assert "lacks   all that --strict promises: --strict hides files by mounts" in (
        told.stdout.decode()
    )


@pytest.mark.parametrize("options", [["--strict"], *([["--allow", "*"]] if ROOT else [])])
async def test_what_needs_mounts_does_not_run_without(
    keepline: Keepline, options: list[str]
) -> None:
    """Root's program could write resolv.conf, and so choose who resolves an allowed name."""
    done = await run(keepline, lacking("mount:EPERM"), "run", *options, "--", "echo", "ran")
    assert (done.returncode, done.stdout) == (125, b"")
    cause, fix = done.stderr.decode().splitlines()
    assert "nothing can be mounted here (Operation not permitted)" in cause
    assert "packaging/seccomp.json" in fix


# Other ways to catch connections


async def reaches(keepline: Keepline, name: str, *options: str) -> Done:
    """Fetch a page."""
    done = await keepline.run("curl", "-sS", "-m", "10", f"http://{name}/", options=options)
    assert (done.stdout, done.stderr) == (b"hello", "")
    return done


@pytest.mark.parametrize("way", ["tproxy", "redirect", "ports"])
async def test_each_way_to_catch_connections_works(keepline: Keepline, way: str) -> None:
    done = await reaches(keepline, "server.test", "--intercept", way)
    assert done.only(SessionStarted).intercept == way


async def test_without_nf_tables_listed_ports_are_caught_and_that_is_said(
    keepline: Keepline,
) -> None:
    command = inside("connects", SERVER, str(LISTED), str(UNLISTED))
    done = await run(keepline, lacking("netfilter"), "run", "--", *command)
    assert done.stdout == b"connected\nECONNREFUSED\n"
    assert done.stderr.decode() == (
        "keepline: tproxy is not available: Protocol not supported;"
        " redirect is not available: Protocol not supported:"
        f" only these ports can be reached: {', '.join(map(str, COMMON_PORTS))}\n"
    )
    told = await run(keepline, lacking("netfilter"), "doctor")
    assert told.returncode == 0
    assert b"lacks   best interception (tproxy)" in told.stdout


async def test_without_raw_sockets_the_kernel_accepts_first_and_doctor_says_so(
    keepline: Keepline,
) -> None:
    command = inside("connects", SERVER, str(LISTED), str(UNLISTED))
    done = await run(keepline, lacking("raw_sockets"), "run", "--", *command)
    assert (done.stdout, done.stderr) == (b"connected\nconnected\n", b"")
    told = await run(keepline, lacking("raw_sockets"), "doctor")
    assert told.returncode == 0
    assert b"works   best interception (tproxy)" in told.stdout
    assert (
        b"lacks   a connect() is held until its destination is reached: no sockets for it:"
        b" Operation not permitted; it succeeds at once, then is reset\n        try: "
    ) in told.stdout


@pytest.mark.parametrize("count", [1, 100])
async def test_the_ports_of_the_settings_are_caught(keepline: Keepline, count: int) -> None:
    ports = ",".join(map(str, range(UNLISTED - count + 1, UNLISTED + 1)))
    command = inside("connects", SERVER, str(UNLISTED), str(LISTED))
    done = await keepline.run(*command, options=["--intercept", "ports", "--ports", ports])
    assert (done.stdout, done.stderr) == (b"connected\nECONNREFUSED\n", "")


async def test_a_way_that_does_not_work_fails_if_it_was_asked_for(keepline: Keepline) -> None:
    arguments = ("run", "--intercept", "redirect", "--", "true")
    done = await run(keepline, lacking("netfilter"), *arguments)
    assert (done.returncode, done.stdout) == (125, b"")
    cause, fix = done.stderr.decode().splitlines()
    assert cause == (
        "keepline: interception of TCP: redirect is not available: Protocol not supported"
    )
    assert fix.startswith("  try: ")
    assert "user namespaces" not in fix


async def test_a_kernel_that_refuses_a_rule_is_left_without_any(
    internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the next way finds a clean slate. What it refuses is a redirection without a port."""
    with monkeypatch.context() as patch:
        patch.setattr(interception, "to_listener", lambda *_where: [expression("redir")])
        with pytest.raises(OSError, match="not supported"):
            internet.client.call(lambda: interception.install("tproxy", "198.18.0.1", 1))
    internet.client.call(lambda: interception.install("redirect", "198.18.0.1", 1))


async def test_a_kernel_that_refuses_nf_tables_says_so_at_once(internet: Internet) -> None:
    code = "from netns.network import interception; interception.install('tproxy', '198.18.0.1', 1)"
    drop = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if ROOT else []
    python = inside("")[0]
    with trio.fail_after(patience(30)):
        done = await internet.client.run_process([*drop, python, "-I", "-c", code], check=False)
    assert done.stderr.decode().splitlines()[-1].startswith("PermissionError: ")
