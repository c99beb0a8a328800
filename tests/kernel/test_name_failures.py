"""Where a name fails, real programs end under keepline as they do bare, and as soon.

An outage of all resolvers is held instead: `scripts/chaos --row 3`, and the last tests here.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import dns.rcode
import pytest
import trio

from relay.record.events import LookupFailed
from tests.support.command import program as at
from tests.support.command.driver import eventually, inside
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet import faults
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.nameserver import serve_names
from tests.support.internet.servers.zone import Trouble
from tests.support.internet.world import NAMES, OTHER_NAMES, SERVER, Internet
from tests.support.pace import within

AT_ONCE = 0.5
"""Seconds that a program may take longer under keepline, whose own start is among them."""

STUB = "127.0.0.53"
REFUSED = Trouble(rcode=dns.rcode.REFUSED)
SERVFAIL = Trouble(rcode=dns.rcode.SERVFAIL)
SILENT = Trouble(silent=True)


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


@dataclass
class Ran:
    """What became of a program: its status, and all that it wrote."""

    status: int
    told: str
    seconds: float


async def both(keepline: Keepline, argv: list[str]) -> tuple[Ran, Ran]:
    """Run a program bare and under keepline, in the same network."""
    began = time.monotonic()
    alone = await keepline.host.run_process(argv, check=False)
    between = time.monotonic()
    kept = await keepline.run(*argv, check=False)
    end = time.monotonic()
    return (
        Ran(alone.returncode, (alone.stdout + alone.stderr).decode(), between - began),
        Ran(kept.status, kept.stdout.decode() + kept.stderr, end - between),
    )


async def same(keepline: Keepline, argv: list[str]) -> Ran:
    """Run a program both ways, see that nothing differs, and return what it does."""
    alone, kept = await both(keepline, argv)
    assert (kept.status, kept.told) == (alone.status, alone.told)
    assert within(kept.seconds, alone.seconds + AT_ONCE), (alone, kept)
    return alone


def node(code: str) -> list[str]:
    return [needs("node"), "-e", f"const told = error => console.log(error?.code);{code}"]


def python(code: str) -> list[str]:
    text = f"import socket\ntry: print({code})\nexcept OSError as error: print(error)"
    return [needs("python3"), "-I", "-c", text]


PROGRAMS: dict[str, Callable[[str], list[str]]] = {
    "getent": lambda name: [needs("getent"), "ahosts", name],
    "curl": lambda name: [needs("curl"), "-sS", f"http://{name}/"],
    "bash": lambda name: [needs("bash"), "-c", f"exec 3<>/dev/tcp/{name}/80"],
    "python": lambda name: python(f"socket.getaddrinfo({name!r}, 80)"),
    "node lookup": lambda name: node(f"require('dns').lookup({name!r}, told)"),
    "node resolve4": lambda name: node(f"require('dns').resolve4({name!r}, told)"),
    "node resolve6": lambda name: node(f"require('dns').resolve6({name!r}, told)"),
    "node resolveMx": lambda name: node(f"require('dns').resolveMx({name!r}, told)"),
    "node reverse": lambda _name: node(f"require('dns').reverse({SERVER!r}, told)"),
    "bun": lambda name: [
        needs("bun"),
        "-e",
        f"await fetch('http://{name}').catch(e => console.log(e.code))",
    ],
}

CODES = [dns.rcode.REFUSED, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.FORMERR]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("rcode", CODES)
async def test_one_name_that_fails(
    internet: Internet, keepline: Keepline, rcode: dns.rcode.Rcode, program: str
) -> None:
    internet.zone.set_trouble("bad.test", Trouble(rcode=rcode))
    internet.zone.set_trouble("10.113.0.203.in-addr.arpa", Trouble(rcode=rcode))
    await same(keepline, PROGRAMS[program]("bad.test"))


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_local_resolver_that_does_not_run(
    internet: Internet, keepline: Keepline, program: str
) -> None:
    internet.client.use_resolvers(STUB)
    alone, kept = await both(keepline, PROGRAMS[program]("server.test"))
    if not program.startswith("node re"):  # c-ares says ECONNREFUSED, which no answer can say
        assert kept.told.startswith(alone.told)
    assert kept.status == alone.status
    assert within(kept.seconds, alone.seconds + AT_ONCE), (alone, kept)


async def test_a_firewall_that_forbids_to_ask(internet: Internet, keepline: Keepline) -> None:
    questions = Packets(protocol="udp", destination=NAMES, destination_port=53)
    with faults.unreachable(internet.router, questions) as firewall:
        await same(keepline, PROGRAMS["getent"]("server.test"))
        assert firewall.hits() >= 2


@pytest.mark.parametrize("trouble", [REFUSED, SERVFAIL], ids=["REFUSED", "SERVFAIL"])
async def test_two_search_domains_that_fail(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery, trouble: Trouble
) -> None:
    for domain in ("a.corp", "b.corp"):
        internet.zone.set_trouble(f"server.test.{domain}", trouble)
    internet.client.resolv_conf.write_text(
        f"search a.corp b.corp\nnameserver {NAMES}\noptions ndots:5\n"
    )

    async def hello(stream: trio.SocketStream) -> None:
        await stream.send_all(b"hello")

    await nursery.start(serve, hello, listen(internet.server, SERVER, 80))
    done = await same(keepline, [needs("bash"), "-c", "cat </dev/tcp/server.test/80"])
    assert done.told == "hello"


@pytest.mark.parametrize("name", ["single", "printer.local", "a.b.local"])
async def test_names_of_no_resolver(internet: Internet, keepline: Keepline, name: str) -> None:
    internet.zone.set_trouble(name, SERVFAIL)
    await same(keepline, PROGRAMS["getent"](name))


async def test_the_second_resolver_answers_what_the_first_refuses(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.trouble = REFUSED
    internet.client.use_resolvers(NAMES, OTHER_NAMES)
    alone, kept = await both(keepline, PROGRAMS["getent"]("v4.test"))
    assert alone.status == kept.status == 0
    assert within(kept.seconds, alone.seconds + AT_ONCE)


async def test_a_name_about_which_its_resolver_is_silent(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.set_trouble("lame.test", SILENT)
    done = await same(keepline, PROGRAMS["python"]("lame.test"))
    assert done.seconds > 9, "as long as libc asks"


async def test_what_a_name_is_to_blame_for_is_recorded_and_is_no_loss(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.set_trouble("bad.test", SERVFAIL)
    done = await keepline.run(*PROGRAMS["getent"]("bad.test"), check=False)
    event = done.only(LookupFailed)
    assert event.verdict
    assert event.cause == f"{NAMES}: answered SERVFAIL, while other names are answered"
    assert done.stderr == ""


# Outages


@pytest.fixture
async def stub(internet: Internet, nursery: trio.Nursery) -> Callable[[float], Awaitable[None]]:
    """Return what starts a local resolver anew, after what was started before has ended."""
    internet.client.use_resolvers(STUB)
    running, ended = trio.CancelScope(), trio.Event()
    ended.set()

    async def run(task_status: trio.TaskStatus[None]) -> None:
        with running:
            await serve_names(internet.client, STUB, internet.zone, task_status=task_status)
        ended.set()

    async def restart(
        pause: float, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        nonlocal running, ended
        running.cancel()
        await ended.wait()
        task_status.started()
        await trio.sleep(pause)
        running, ended = trio.CancelScope(), trio.Event()
        await nursery.start(run)

    await restart(0)
    return restart


async def test_a_local_resolver_that_is_restarted(
    keepline: Keepline, stub: Callable[[float], Awaitable[None]], nursery: trio.Nursery
) -> None:
    async with inside(keepline) as program:
        assert await program(at.look_up, "v4.test")
        async with trio.open_nursery() as both_ways:
            await both_ways.start(stub, 1)
            assert await program(at.look_up, "server.test")
            assert program.seconds > 0.5
            assert within(program.seconds, 3)


@pytest.mark.parametrize("trouble", [SERVFAIL, SILENT], ids=["SERVFAIL", "silent"])
async def test_an_outage_of_all_names_is_held(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery, trouble: Trouble
) -> None:
    internet.zone.trouble = trouble

    async def heal() -> None:
        await eventually(lambda: bool(internet.zone.queries))
        await trio.sleep(12)
        internet.zone.trouble = Trouble()

    async with inside(keepline) as program:
        nursery.start_soon(heal)
        assert await program(at.look_up, "v4.test")
        assert program.seconds > 11
        assert within(program.seconds, 15)


# What doctor says of it


async def doctor(keepline: Keepline, **environment: str) -> tuple[int, str, str]:
    """Return its status, what it says of the resolvers, and the line after that."""
    told = await keepline.call("doctor", env=environment)
    lines = [*told.stdout.decode().splitlines(), ""]
    (number,) = [number for number, line in enumerate(lines) if " resolvers" in line]
    return told.status, lines[number], lines[number + 1]


async def test_doctor_asks_the_resolvers(internet: Internet, keepline: Keepline) -> None:
    status, line, _ = await doctor(keepline)
    assert (status, line) == (0, f"works   resolvers: {NAMES} answers")
    internet.client.use_resolvers(STUB, NAMES)
    status, line, _ = await doctor(keepline)
    assert (status, line) == (
        0,
        f"works   resolvers: {STUB} fails: Connection refused; {NAMES} answers",
    )


@pytest.mark.parametrize(
    ("trouble", "cause"), [(SERVFAIL, "answered SERVFAIL"), (SILENT, "no answer in 3 s")]
)
async def test_doctor_names_the_fix_if_none_answers(
    internet: Internet, keepline: Keepline, trouble: Trouble, cause: str
) -> None:
    internet.zone.trouble = trouble
    status, line, fix = await doctor(keepline)
    assert (status, line) == (0, f"lacks   resolvers: {NAMES} fails: {cause}")
    assert fix.startswith("        try: start them")
    status, line, _ = await doctor(keepline, KEEPLINE_NAMESERVERS=f"{OTHER_NAMES}")
    assert line == f"works   resolvers: {OTHER_NAMES} answers"
