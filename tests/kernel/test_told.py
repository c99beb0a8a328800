"""What came to nothing is told, in `explain` and after a command that failed by it; else nothing.

Each line names what changes it.
"""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
import trio

from relay.gateway.dialects.anthropic import DIALECT as ANTHROPIC
from relay.record.events import (
    ConnectionDenied,
    ConnectionOpened,
    Dialled,
    GatewayUnused,
    LookupHeld,
    LoopbackRefused,
    NameRefused,
    ResolverSilent,
    SessionStarted,
    UpstreamReady,
)
from relay.record.story.advice import ADVICE, GATEWAY_OFF
from tests.support.command import program as at
from tests.support.command.asking import NAME, TLS, explained, keepline_of, runs, script, serve_api
from tests.support.command.driver import bare, inside
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.faults import unreachable_by
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.api.server import context
from tests.support.internet.servers.broken import answer_then_reset
from tests.support.internet.servers.listening import listen, over_tls, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.servers.zone import Trouble
from tests.support.internet.world import SERVER, Internet

ECHO: Final = 7
PORT: Final = 8080
LOOPBACK: Final = "127.0.0.1"
SILENT: Final = "198.51.100.9"
HOST: Final = "api.anthropic.com"
OWN: Final = [sys.executable, "-I", "-m", "relay"]


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


def curl(url: str, *words: str) -> list[str]:
    return [needs("curl"), "-sS", *words, url]


def end(done: Done) -> str:
    """Return the last line of stderr, without where to read on."""
    last = done.stderr.splitlines()[-1] if done.stderr else ""
    see = f" See: keepline explain {done.only(SessionStarted).session}"
    assert not last or last.endswith(see), last
    return last.removeprefix("keepline: ").removesuffix(see)


def advice(kind: str) -> str:
    return (
        f"  {kind}: {next(each.text for each_kind, each in ADVICE.items() if each_kind == kind)}."
    )


# Denied


async def test_a_denial_is_told_with_its_rule(keepline: Keepline) -> None:
    done = await keepline.run(
        *curl("http://server.test/"), options=["--deny", "*.test"], check=False
    )
    told = "server.test: denied by the rule deny *.test"
    assert end(done).startswith(told)
    assert end(done).endswith("What changes it: --allow, --deny.")
    _first, line, summary, *rest = await explained(keepline)
    assert line[10:].startswith(f"denied   {told}")
    assert summary.startswith("No loss; ")
    assert summary.endswith(" denied.")
    assert rest == [advice("policy")]


async def test_without_an_allow_rule_that_is_told(internet: Internet, keepline: Keepline) -> None:
    done = await keepline.run(
        *curl(f"http://{SERVER}/"), options=["--allow", "*.test"], check=False
    )
    assert end(done) == (
        f"{SERVER}:80: denied: no allow rule matches. What changes it: --allow, --deny."
    )


async def test_a_command_that_gets_over_a_denial_says_nothing(keepline: Keepline) -> None:
    command = f"{needs('curl')} -sS http://server.test/ 2>/dev/null || true"
    done = await keepline.run("sh", "-c", command, options=["--deny", "*"])
    assert done.stderr == ""
    assert done.all(NameRefused)
    assert "denied   server.test" in (await explained(keepline))[1]


async def test_a_hundred_denials_take_a_few_lines(keepline: Keepline) -> None:
    command = f"for i in $(seq 100); do ! echo >/dev/tcp/{SERVER}/80 || exit 3; done; exit 1"
    done = await keepline.run("bash", "-c", command, options=["--deny", "*:80"], check=False)
    assert "denied by the rule deny *:80, 100 times." in end(done)
    denied = done.all(ConnectionDenied)
    assert (denied[-1].count, len(denied)) == (100, 8), "1, 2, 4 ... 64, and the last"
    assert "(100 times, until " in (await explained(keepline))[1]


@pytest.mark.parametrize(
    ("options", "rule"),
    [(["--deny", HOST], f"deny {HOST}"), (["--allow", "*.test"], "no allow rule matches")],
)
async def test_an_agent_whose_api_is_denied_is_told_so_before_it_starts(
    keepline: Keepline, options: list[str], rule: str
) -> None:
    keepline.environment.pop(ANTHROPIC.base_url, None)
    agent = script(keepline.folder, "claude", "echo runs")
    for words in ([str(agent)], ["sh", "-c", str(agent)]):
        done = await keepline.run(*words, options=[*options, "--gateway=off"])
        assert done.stdout == b"runs\n"
        assert done.stderr == (
            f"keepline: claude needs {HOST}:443, which this session denies ({rule}); --allow and"
            " --deny change that\n"
        )


# Not reached


async def test_a_connect_that_was_given_up(keepline: Keepline) -> None:
    done = await keepline.run(*curl(f"http://{SILENT}/", "-m", "2"), check=False)
    told = rf"{SILENT}:80: no answer for [12]\.\d s; then "
    assert re.match(told, end(done))
    _first, line, summary, *rest = await explained(keepline)
    assert re.match(f"gave up  {told}", line[10:])
    assert summary == "No loss; 1 given up."
    assert rest in ([advice("program-gone")], [advice("session-end")]), "it ends with its time-out"


async def test_patience_that_has_run_out(keepline: Keepline) -> None:
    options = ["--patience", "2"]
    done = await keepline.run(*curl(f"http://{SILENT}/", "-m", "9"), options=options, check=False)
    assert end(done) == "1 loss: 0 hidden, 1 visible. What changes it: --patience."
    _first, line, *rest = await explained(keepline)
    assert "VISIBLE" in line
    assert "for 2 s" in line
    assert advice("timeout") in rest


async def test_dns_that_is_dead(internet: Internet, keepline: Keepline) -> None:
    internet.zone.trouble = Trouble(silent=True)
    done = await keepline.run(*curl("http://server.test/", "-m", "3"), check=False)
    assert "server.test: not resolved for " in end(done)
    _first, line, *_rest = await explained(keepline)
    assert line[10:].startswith("gave up  server.test: not resolved for ")
    assert line.endswith("; then the command ended")


async def test_dns_that_answers_late(internet: Internet, keepline: Keepline) -> None:
    internet.zone.trouble = Trouble(silent=True)
    command = "until getent hosts server.test; do :; done"
    async with keepline.start("sh", "-c", command) as session:
        await session.until(ResolverSilent)
        internet.zone.trouble = Trouble()
        done = await session.end()
    held = done.only(LookupHeld)
    assert end(done) == "1 loss: 1 hidden, 0 visible."
    told = f"hidden   server.test: not resolved for {held.seconds:.1f} s ("
    assert told in (await explained(keepline))[1]


async def test_a_refusal_is_no_loss(internet: Internet, keepline: Keepline) -> None:
    for address in (SERVER, "server.test"):
        done = await keepline.run(*curl(f"http://{address}:81/"), check=False)
        assert "Failed to connect" in done.stderr
        assert "keepline" not in done.stderr
        _first, line, summary, *rest = await explained(keepline)
        assert line[10:] == f"failed   {address}:81: Connection refused; the program saw a refusal"
        assert (summary, rest) == ("No loss; 1 failed as without keepline.", [advice("refused")])


async def test_a_firewall_that_turns_it_away(internet: Internet, keepline: Keepline) -> None:
    firewall = Packets(protocol="tcp", destination=SERVER, destination_port=80)
    with unreachable_by(3, internet.server, firewall):
        await keepline.run(*curl(f"http://{SERVER}/"), check=False)
    _first, line, *_rest = await explained(keepline)
    assert line[10:].startswith(f"failed   {SERVER}:80: ")


# The host's loopback


async def test_the_hosts_own_loopback_is_told_to_be_out_of_reach(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    await nursery.start(serve, echo, listen(internet.client, LOOPBACK, PORT))
    async with bare(internet.client) as program:
        await program(at.open_connection, LOOPBACK, PORT)
    done = await keepline.run(*curl(f"http://{LOOPBACK}:{PORT}/"), check=False)
    assert done.only(LoopbackRefused).on_host
    told = f"{LOOPBACK}:{PORT}: refused: nobody listens there inside the session"
    assert end(done).startswith(told)
    assert f"; --host-port {PORT} leads to the host's own server there." in end(done)
    _first, line, summary, *rest = await explained(keepline)
    assert line[10:].startswith(f"limit    {told}")
    assert summary == "No loss; 1 out of reach."
    assert rest == [advice("refused")]


async def test_loopback_where_nobody_listens_on_the_host_either(keepline: Keepline) -> None:
    """curl dials both addresses of localhost: that is told once."""
    done = await keepline.run(*curl(f"http://localhost:{PORT}/"), check=False)
    refused = {event.to: event.on_host for event in done.all(LoopbackRefused)}
    assert refused == {f"[::1]:{PORT}": False, f"{LOOPBACK}:{PORT}": False}
    assert "keepline" not in done.stderr
    _first, line, summary, *_rest = await explained(keepline)
    assert re.search(rf"failed   (\[::1\]|{LOOPBACK}):{PORT}: refused", line)
    assert summary == "No loss; 2 failed as without keepline."


async def test_a_refusal_at_the_loopback_of_ipv6_alone(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    """The host's server is there at 127.0.0.1, where an open port leads to as well."""
    await nursery.start(serve, echo, listen(internet.client, LOOPBACK, PORT))
    done = await keepline.run(*curl(f"http://[::1]:{PORT}/"), check=False)
    refused = done.only(LoopbackRefused)
    assert (refused.to, refused.on_host) == (f"[::1]:{PORT}", True)
    assert f"; --host-port {PORT} leads to the host's own server there." in end(done)


# Who asks somebody outside


async def test_a_command_that_has_somebody_outside_do_its_work(
    keepline: Keepline, tmp_path: Path
) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\n")
    client.chmod(0o755)
    outside = (
        "docker asks the container engine, which is outside: what that does has the host's network,"
        " and keepline sees nothing of it"
    )
    done = await keepline.run("env", "-u", "X", str(client), "run", env={"DOCKER_HOST": ""})
    assert done.stderr == f"keepline: {outside}\n"
    _first, said, summary = await explained(keepline)
    assert said.endswith(outside)
    assert summary == "No connection was seen at all."
    done = await keepline.run(str(client), "--version")
    assert done.stderr == ""


# Killed


async def test_a_keepline_that_was_killed(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    async with inside(keepline) as program:
        await program(at.open_connection, "server.test", ECHO)
        await program.session.until(Dialled)
        still = await explained(keepline)
        assert still[1:] == ["Nothing was lost."]
        program.session.process.kill()
        program.session.process.wait()
    _first, killed, lost, summary, *_rest = await explained(keepline)
    assert "keepline itself was killed, or the machine went down" in killed
    assert lost[10:] == "VISIBLE  server.test:7: ended with keepline"
    assert summary == "1 loss: 0 hidden, 1 visible."


# Which session


async def test_inside_a_session_it_is_the_one_that_is_meant(keepline: Keepline) -> None:
    async with keepline.start("cat") as other:
        started = await other.until(SessionStarted)
        done = await keepline.run(
            "sh",
            "-c",
            'echo $KEEPLINE_SESSION; sleep 1; "$@" log; "$@" explain; "$@" log latest; "$@" status',
            "sh",
            *OWN,
        )
        own = done.only(SessionStarted).session
        said = done.stdout.decode().splitlines()
        assert said[0] == own
        assert [line.split()[2 if "  session" in line else 1] for line in said[2:4]] == [own, own]
        assert started.session < own
        assert sum(started.session in line for line in said) == 0
        named = await keepline.call("log", started.session)
        assert started.session in named.stdout.decode()
        beginning = await keepline.call("explain", "nope")
        assert beginning.status == 125
        assert f"try: one of {own}, {started.session}" in beginning.stderr
        await other.end()


# The gateway


async def test_status_tells_what_the_gateway_answers(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await serve_api(internet, nursery)
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    keepline = keepline_of(internet, internet.authority)
    async with inside(keepline, options=TLS) as program:
        await program(at.open_connection, NAME, 443)
        await program(at.open_connection, SERVER, ECHO)
        await program(at.begin_connecting, SILENT, 80)
        await program.session.until(UpstreamReady)
        await program.session.until(ConnectionOpened, lambda event: event.address == SILENT)
        told = (await keepline.call("status")).stdout.decode().splitlines()
        await program(at.close_all)
    states = {line.split(None, 2)[2] for line in told[1:]}
    assert {state.removeprefix("(gateway)").strip() for state in states} == {
        "answered by the gateway",
        f"{SERVER} (h2)",
        SERVER,
        "being dialled",
    }


WRAPPED: Final[dict[str, Callable[[str, Path], Sequence[str]]]] = {
    "env": lambda agent, _folder: ["env", "X=1", agent],
    "sh -c": lambda agent, _folder: ["sh", "-c", f"exec {agent}"],
    "bash -lc": lambda agent, _folder: ["bash", "-lc", f"cd /; {agent} -p"],
    "timeout and nice": lambda agent, _folder: ["timeout", "20", "nice", agent],
    "a link": lambda agent, folder: [str(linked(folder / "helper", agent))],
    "a script": lambda agent, folder: [str(script(folder, "wrapper", runs(agent)))],
}


def linked(link: Path, to: str) -> Path:
    link.symlink_to(to)
    return link


@pytest.mark.parametrize("how", WRAPPED)
async def test_an_agent_is_known_by_what_runs_it(internet: Internet, how: str) -> None:
    keepline = keepline_of(internet, internet.authority)
    agent = script(keepline.folder, "claude", "echo $NODE_EXTRA_CA_CERTS")
    done = await keepline.run(*WRAPPED[how](str(agent), keepline.folder))
    assert done.stdout.endswith(b".pem\n")
    assert "gateway on (tls; " in done.only(SessionStarted).gateway
    assert done.stderr == ""


async def test_an_agent_that_the_variables_do_not_reach_is_told_of(internet: Internet) -> None:
    keepline = keepline_of(internet, internet.authority)
    agent = script(keepline.folder, "claude", "echo runs")
    done = await keepline.run("env", "-i", str(agent))
    assert done.stdout == b"runs\n"
    assert done.stderr == (
        "keepline: the gateway is off: env runs claude, but env -i clears its environment\n"
    )


async def test_a_lost_answer_of_an_unknown_agent_names_the_gateway(
    internet: Internet, nursery: trio.Nursery
) -> None:
    keepline = keepline_of(internet, internet.authority)
    internet.zone.add(HOST, "A", SERVER)
    cut = over_tls(
        answer_then_reset(b"HTTP/1.1 200 OK\r\n\r\nhalf"), context(internet.authority, HOST)
    )
    await nursery.start(serve, cut, listen(internet.server, SERVER, 443))
    command = curl(f"https://{HOST}/v1/messages", "--http1.1", "-o", "/dev/null")
    done = await keepline.run(*command, check=False)
    assert done.only(GatewayUnused).why == "the command is not claude"
    assert end(done) == "1 loss: 0 hidden, 1 visible. What changes it: --gateway=tls."
    told = await explained(keepline)
    assert told[1].endswith(
        f"{HOST}: its answers are not read by the gateway: the command is not claude"
    )
    assert f"  {HOST}: {GATEWAY_OFF.text}." in told
    off = await keepline.run(*command, options=["--gateway=off"], check=False)
    assert end(off) == "1 loss: 0 hidden, 1 visible."
