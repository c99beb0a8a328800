"""At its limit of descriptors a session goes on: who needs one more is told at once."""

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio

from relay.record.events import DialFailed, Fault, Suspected
from relay.record.kinds import Kind
from tests.support.command import program as at
from tests.support.command.driver import Program, inside
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER, Internet
from tests.support.machine.limits import leave
from tests.support.pace import within

ECHO = 7
AT_ONCE = 2.0
SOON = 12.0
WAYS = ["tproxy", "redirect"]


@pytest.fixture(params=WAYS)
async def program(
    request: pytest.FixtureRequest, internet: Internet, nursery: trio.Nursery
) -> AsyncIterator[Program]:
    """Give a program by whose connections the relay is at its limit; one of them was used."""
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    options = ["--intercept", request.param, "--keepidle", "3"]
    async with inside(Keepline(internet), options) as made:
        await made(at.open_connections, SERVER, ECHO, 1)
        leave(made.session.pid, 8)
        for _ in range(10):
            with suppress(OSError):
                await made(at.open_connection, SERVER, ECHO)
        await made.session.until(DialFailed)
        yield made


async def is_told_at_once(program: Program) -> None:
    """See that neither a connection nor a name is waited for."""
    assert await program(at.refused, SERVER, ECHO) in {"OSError", "ConnectionResetError"}
    assert within(program.seconds, AT_ONCE)
    with pytest.raises(socket.gaierror):
        await program(at.look_up, "two.test")
    assert within(program.seconds, AT_ONCE)


async def goes_on(program: Program) -> None:
    """See that what stood stands, and that past the limit all is as ever."""
    await program(at.send, 1, b"?")
    assert await program(at.receive, 1, 1) == b"?"
    await program(at.close_all)
    await program(at.open_connections, "server.test", ECHO, 5)
    await program(at.use_all)


async def test_connections_and_names_are_told_at_once(program: Program) -> None:
    """The first question too, for which what reads it is loaded."""
    for _ in range(3):
        await is_told_at_once(program)
    await goes_on(program)
    done = await program.session.end()
    assert done.status == 0
    assert "Traceback" not in done.stderr
    assert {event.kind for event in done.all(DialFailed)} == {Kind.RESOURCES}


async def test_a_change_of_addresses_is_acted_upon(internet: Internet, program: Program) -> None:
    internet.renumber_client("10.1.0.3")
    assert await program(at.receive_to_end, 1) == (b"", "ConnectionResetError")
    assert within(program.seconds, AT_ONCE)
    await program(at.close_all)
    await program(at.open_connections, SERVER, ECHO, 5)
    await program(at.use_all)
    assert (await program.session.end()).status == 0


async def test_a_suspect_waits_for_its_dial_and_no_longer(
    internet: Internet, program: Program
) -> None:
    internet.nat.forget()
    await program(at.send, 1, b"again")
    await program.session.until(Suspected)
    fault = await program.session.until(Fault)
    assert (fault.where, fault.kind) == ("dial to a suspect's destination", Kind.RESOURCES)
    await is_told_at_once(program)
    for number in range(2, 11):
        with suppress(KeyError):
            await program(at.reset, number)
    assert await program(at.receive_to_end, 1) == (b"", "ConnectionResetError")
    assert within(program.seconds, SOON)
    await program(at.close_all)
    await program(at.open_connections, SERVER, ECHO, 5)
    await program(at.use_all)
    assert (await program.session.end()).status == 0


async def test_the_end_has_the_commands_status(program: Program) -> None:
    with suppress(OSError):
        await program(at.open_connection, SERVER, ECHO)
    (command,) = [pid for pid in await program(at.own_pid)]
    assert command
    program.session.process.send_signal(signal.SIGTERM)
    done = await program.session.end()
    assert done.status == 128 + signal.SIGTERM
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
