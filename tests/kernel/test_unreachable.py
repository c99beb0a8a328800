"""What cannot be reached: verdicts are told at once, with their code; outages leave it pending."""

from collections.abc import AsyncIterator

import pytest
import trio

from relay.outbound.dialer import ATTEMPT
from relay.record.events import ConnectionOpened, DialFailed, DialHeld
from relay.record.kinds import Kind
from tests.support.command import program as at
from tests.support.command.driver import Program, bare, inside
from tests.support.command.keepline import Keepline
from tests.support.internet.faults import drop, unreachable_by
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import GATEWAY, SERVER, Internet
from tests.support.pace import patience, within

PORT = 443
ECHO = 7
AT_ONCE = 0.5
WHILE = 1.0
NOBODY = "10.1.0.77"
"""On the client's own network: nobody answers ARP for it."""
ARP_GIVES_UP = 3.5
SYNS = Packets(only_syn=True, destination=SERVER, destination_port=PORT)


@pytest.fixture
async def program(internet: Internet, nursery: trio.Nursery) -> AsyncIterator[Program]:
    """Yield a program under keepline; the router serves an echo, which stays within reach."""
    await nursery.start(serve, echo, listen(internet.router, GATEWAY, ECHO))
    await nursery.start(serve, echo, listen(internet.server, SERVER, PORT))
    async with inside(Keepline(internet)) as made:
        yield made


async def connecting(program: Program, address: str, seconds: float) -> str:
    number = await program(at.begin_connecting, address, PORT)
    return await program(at.connected, number, seconds)


@pytest.mark.parametrize(
    ("code", "error", "kind"),
    [
        (2, "ENOPROTOOPT", Kind.OTHER),
        (3, "ECONNREFUSED", Kind.REFUSED),
        (9, "ENETUNREACH", Kind.NOT_PERMITTED),
        (10, "EHOSTUNREACH", Kind.NOT_PERMITTED),
        (13, "EHOSTUNREACH", Kind.NOT_PERMITTED),
    ],
)
async def test_a_verdict_is_told_at_once_as_bare(
    internet: Internet, program: Program, code: int, error: str, kind: Kind
) -> None:
    with unreachable_by(code, internet.router, SYNS):
        async with bare(internet.client) as without:
            assert await connecting(without, SERVER, 5) == error
        assert await connecting(program, SERVER, 5) == error
        assert within(program.seconds, AT_ONCE)
    done = await program.session.end()
    assert done.only(DialFailed).kind is kind
    assert not done.all(DialHeld)


@pytest.mark.parametrize(("code", "error"), [(0, "ENETUNREACH"), (1, "EHOSTUNREACH")])
async def test_an_outage_is_pending_until_another_dial_gets_through(
    internet: Internet, program: Program, code: int, error: str
) -> None:
    with unreachable_by(code, internet.router, SYNS):
        waiting = await program(at.begin_connecting, SERVER, PORT)
        assert await program(at.connected, waiting, WHILE) == "pending"
        await program(at.open_connection, GATEWAY, ECHO)
        assert await program(at.connected, waiting, 5) == error
        assert within(program.seconds, 2 * AT_ONCE)
    done = await program.session.end()
    assert done.only(DialFailed).cause.endswith(", though others are reached")
    assert done.only(DialHeld).kind is Kind.UNREACHABLE


async def test_an_outage_that_ends_was_never_seen(internet: Internet, program: Program) -> None:
    with unreachable_by(1, internet.router, SYNS):
        waiting = await program(at.begin_connecting, SERVER, PORT)
        assert await program(at.connected, waiting, WHILE) == "pending"
    assert await program(at.connected, waiting, 5) == "connected"
    await program(at.send, waiting, b"hello")
    assert await program(at.receive, waiting, 5) == b"hello"


async def test_the_hosts_own_lack_of_a_route_is_an_outage_too(
    internet: Internet, program: Program
) -> None:
    internet.access.left.remove_route("default", GATEWAY)
    waiting = await program(at.begin_connecting, SERVER, PORT)
    assert await program(at.connected, waiting, WHILE) == "pending"
    await program(at.open_connection, GATEWAY, ECHO)
    assert await program(at.connected, waiting, 5) == "ENETUNREACH"
    assert within(program.seconds, AT_ONCE)


async def test_a_host_that_is_not_there_is_told_when_others_are(
    internet: Internet, program: Program
) -> None:
    """ARP gives up after three seconds: the first round is bare's, and one more after success."""
    waiting = await program(at.begin_connecting, NOBODY, PORT)
    assert await program(at.connected, waiting, ARP_GIVES_UP) == "pending"
    await program(at.open_connection, GATEWAY, ECHO)
    assert await program(at.connected, waiting, 2 * ARP_GIVES_UP) == "EHOSTUNREACH"


async def test_silence_ends_a_round_also_to_an_address_that_has_answered_before(
    internet: Internet, nursery: trio.Nursery
) -> None:
    """The kernel ends it, whose own pauses between SYNs grow to half a minute here."""
    await nursery.start(serve, echo, listen(internet.server, SERVER, PORT))
    keepline = Keepline(internet)
    keepline.config.write_text("rto_max = 0\n")
    async with inside(keepline) as program:
        await program(at.open_connection, SERVER, PORT)
        with drop(internet.router, SYNS):
            waiting = await program(at.begin_connecting, SERVER, PORT)
            held = await program.session.until(DialHeld)
        assert await program(at.connected, waiting, 5) == "connected"
        done = await program.session.end()
    (began,) = (each.at for each in done.all(ConnectionOpened) if each.connection == 2)
    assert held.at - began >= ATTEMPT - 0.1
    assert within(held.at - began, ATTEMPT + AT_ONCE)


async def test_a_soft_error_does_not_end_a_connection_that_stands(
    internet: Internet, program: Program
) -> None:
    number = await program(at.open_connection, SERVER, PORT)
    with unreachable_by(1, internet.router, Packets(protocol="tcp", destination=SERVER)) as fault:
        await program(at.send, number, b"hello")
        with trio.fail_after(patience(5)):
            while not fault.hits():  # noqa: ASYNC110, there is no event to wait for
                await trio.sleep(0.02)
    assert await program(at.receive, number, 5) == b"hello"
