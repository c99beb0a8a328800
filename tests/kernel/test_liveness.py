"""Lost flows are told in seconds and outages held, shown by a NAT, links and addresses."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from relay.host.addresses import SETTLE
from relay.record.events import (
    Cleared,
    ConnectionClosed,
    DialHeld,
    Dialled,
    PathDown,
    PathUp,
    Suspected,
)
from tests.support.command import program as at
from tests.support.command.driver import Program, inside
from tests.support.command.keepline import Keepline
from tests.support.internet.faults import drop
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import CLIENT, SERVER, Internet
from tests.support.pace import within

ECHO = 7
SLOW = 8
FORGOTTEN_WITHIN = 10.0
VANISHED_WITHIN = 2.0
BACK_WITHIN = 3.0


class Slow:
    """Answers a request when told."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.answer = trio.Event()

    async def __call__(self, stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        self.asked.set()
        await self.answer.wait()
        await stream.send_all(b"answer")


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def program(internet: Internet, nursery: trio.Nursery, slow: Slow) -> AsyncIterator[Program]:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    await nursery.start(serve, slow, listen(internet.server, SERVER, SLOW))
    async with inside(Keepline(internet)) as made:
        yield made


async def used(program: Program) -> int:
    number = await program(at.open_connection, SERVER, ECHO)
    await program(at.send, number, b"hello")
    assert await program(at.receive, number, 5) == b"hello"
    return number


async def asked(program: Program, slow: Slow) -> int:
    number = await program(at.open_connection, SERVER, SLOW)
    await program(at.send, number, b"question")
    await slow.asked.wait()
    return number


async def test_a_request_on_a_flow_that_the_nat_forgot_is_told(
    internet: Internet, program: Program
) -> None:
    number = await used(program)
    internet.nat.forget()
    await program(at.send, number, b"again")
    assert await program(at.receive_to_end, number) == (b"", "ConnectionResetError")
    assert within(program.seconds, FORGOTTEN_WITHIN)
    suspected = await program.session.until(Suspected)
    assert suspected.retransmits >= 3
    closed = await program.session.until(ConnectionClosed)
    assert (closed.by, closed.how) == ("upstream", "timeout")


async def test_a_flow_forgotten_while_a_request_waits_is_told(
    internet: Internet, program: Program, slow: Slow
) -> None:
    number = await asked(program, slow)
    internet.nat.forget()
    assert await program(at.receive_to_end, number) == (b"", "ConnectionResetError")
    assert within(program.seconds, FORGOTTEN_WITHIN)


async def test_a_flow_forgotten_in_the_middle_of_an_answer_is_told(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    async with inside(Keepline(internet), ["--keepidle", "3"]) as program:
        number = await used(program)
        internet.nat.forget()
        assert await program(at.receive_to_end, number) == (b"", "ConnectionResetError")
        assert within(program.seconds, 3 + FORGOTTEN_WITHIN)


async def test_an_outage_is_held_and_the_answer_comes_when_it_ends(
    internet: Internet, program: Program, slow: Slow
) -> None:
    number = await asked(program, slow)
    internet.backbone.unplug()
    await program.session.until(PathDown)
    slow.answer.set()
    internet.backbone.plug()
    back = trio.current_time()
    assert await program(at.receive, number, 6) == b"answer"
    assert within(trio.current_time() - back, BACK_WITHIN)
    await program.session.until(PathUp)
    assert not [e for e in program.session.events() if isinstance(e, ConnectionClosed)]


async def test_a_slow_server_is_waited_for(program: Program, slow: Slow) -> None:
    """It is probed every second, answers the probes, and nobody suspects it."""
    number = await asked(program, slow)
    await trio.sleep(6)  # longer than suspicion and grace would take
    slow.answer.set()
    assert await program(at.receive, number, 6) == b"answer"
    assert not [e for e in program.session.events() if isinstance(e, Suspected)]


async def test_a_short_loss_clears(internet: Internet, program: Program, slow: Slow) -> None:
    number = await asked(program, slow)
    with drop(internet.router, Packets(source=SERVER)):
        await program.session.until(Suspected)
    await program.session.until(Cleared)
    slow.answer.set()
    assert await program(at.receive, number, 6) == b"answer"


@pytest.mark.parametrize("waiting", [True, False], ids=["waiting", "idle"])
async def test_a_vanished_address_is_told(
    internet: Internet, program: Program, slow: Slow, waiting: bool
) -> None:
    number = await asked(program, slow) if waiting else await used(program)
    internet.renumber_client("10.1.0.3")
    assert await program(at.receive_to_end, number) == (b"", "ConnectionResetError")
    assert within(program.seconds, VANISHED_WITHIN)
    await used(program)
    assert within(program.seconds, VANISHED_WITHIN)


@pytest.mark.parametrize("waiting", [True, False], ids=["waiting", "idle"])
async def test_a_lease_that_is_renewed_costs_no_connection(
    internet: Internet, program: Program, slow: Slow, waiting: bool
) -> None:
    """The same address goes and comes back, as some clients of DHCP have it; so does the route."""
    number = await asked(program, slow) if waiting else await used(program)
    access, address = internet.access.left, f"{CLIENT}/24"
    access.remove_address(address)
    await trio.sleep(0.2)
    access.add_address(address)
    access.up()
    await trio.sleep(SETTLE + 0.5)  # for what is told late
    if waiting:
        slow.answer.set()
        assert await program(at.receive, number, 6) == b"answer"
    else:
        await program(at.send, number, b"hello")
        assert await program(at.receive, number, 5) == b"hello"
    assert not [e for e in program.session.events() if isinstance(e, ConnectionClosed)]


async def test_an_address_that_stays_away_is_told_after_a_second(
    internet: Internet, program: Program, slow: Slow
) -> None:
    number = await asked(program, slow)
    internet.access.left.remove_address(f"{CLIENT}/24")
    assert await program(at.receive_to_end, number) == (b"", "ConnectionResetError")
    assert within(program.seconds, VANISHED_WITHIN)


async def test_a_dial_without_a_route_is_held_until_there_is_one(
    internet: Internet, program: Program
) -> None:
    internet.access.left.down()
    number = await program(at.begin_connecting, SERVER, ECHO)
    await program.session.until(DialHeld)
    assert await program(at.connected, number, 0) == "pending"
    internet.access.left.up()
    back = trio.current_time()
    assert await program(at.connected, number, 5) == "connected"
    assert within(trio.current_time() - back, VANISHED_WITHIN)
    assert (await program.session.until(Dialled)).attempts > 1


async def test_a_dial_into_a_black_hole_is_held_until_it_ends(
    internet: Internet, program: Program
) -> None:
    hole = drop(internet.router, Packets(destination=SERVER))
    number = await program(at.begin_connecting, SERVER, ECHO)
    await program.session.until(DialHeld)
    assert await program(at.connected, number, 0) == "pending"
    hole.remove()
    back = trio.current_time()
    assert await program(at.connected, number, 5) == "connected"
    assert within(trio.current_time() - back, VANISHED_WITHIN)
    await program(at.send, number, b"hello")
    assert await program(at.receive, number, 5) == b"hello"


async def test_an_idle_connection_is_retired_where_asked_for(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    keepline = Keepline(internet)
    keepline.config.write_text(f'[destination."{SERVER}:{ECHO}"]\nidle_retire = 2\n')
    async with inside(keepline) as program:
        number = await used(program)
        assert await program(at.receive_to_end, number) == (b"", "fin")
        assert program.seconds > 1.5
        assert within(program.seconds, 4)
        await program(at.close, number)
        closed = await program.session.until(ConnectionClosed)
        assert (closed.by, closed.how) == ("keepline", "fin")


def cpu_seconds(pid: int) -> float:
    """Read how much processor time a process has had, proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_a_thousand_idle_connections_cost_next_to_nothing(program: Program) -> None:
    await program(at.open_connections, SERVER, ECHO, 1000)
    await program(at.use_all)
    before = cpu_seconds(program.session.pid)
    await trio.sleep(10)  # what is measured is this time
    assert within(cpu_seconds(program.session.pid) - before, 0.2)
    await program(at.close_all)
