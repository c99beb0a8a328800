"""At its limit of descriptors a session goes on: who needs one more is told at once."""

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio

from relay.gateway.setup.prepare import BASE_URL_PORT
from relay.record.events import ConnectionOpened, DialFailed, Fault, Suspected, TurnedAway
from relay.record.kinds import Kind
from tests.support.command import program as at
from tests.support.command.asking import NAME, keepline_of, serve_api
from tests.support.command.driver import Program, inside
from tests.support.command.keepline import Keepline
from tests.support.command.terminal import processes
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER, Internet
from tests.support.machine.limits import leave, left
from tests.support.pace import patience, within

ECHO = 7
AT_ONCE = 2.0
SOON = 12.0
LEFT = 8
"""Descriptors beside those of the first connection, which has two."""
WAYS = ["tproxy", "redirect"]


@pytest.fixture(params=WAYS)
async def program(
    request: pytest.FixtureRequest, internet: Internet, nursery: trio.Nursery
) -> AsyncIterator[Program]:
    """Yield a program by whose connections the relay is at its limit; one of them was used."""
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    # What publishes takes a descriptor of its own, before the others are counted or after it.
    options = ["--intercept", request.param, "--keepidle", "3", "--publish", "off"]
    async with inside(Keepline(internet), options) as made:
        await made(at.open_connections, SERVER, ECHO, 1)
        await made(at.use_all)
        leave(made.session.pid, LEFT)
        for _ in range(10):
            with suppress(OSError):
                await made(at.open_connection, SERVER, ECHO)
        await made.session.until(DialFailed if request.param == "tproxy" else TurnedAway)
        yield made


async def is_told_at_once(program: Program) -> None:
    """See that neither a connection nor a name is waited for."""
    assert await program(at.refused, SERVER, ECHO) in {"EHOSTUNREACH", "ECONNRESET"}
    assert within(program.seconds, AT_ONCE)
    with pytest.raises(socket.gaierror):
        await program(at.look_up, "two.test")
    assert within(program.seconds, AT_ONCE)


async def all_closed(program: Program) -> None:
    """Close all connections, and wait until the relay has let go of them.

    Less than all is not enough: a lost upstream is closed before another one is dialled.
    """
    relay = program.session.pid
    await program(at.close_all)
    with trio.fail_after(patience(10)):
        while left(relay) < LEFT + 2:  # noqa: ASYNC110 - the kernel tells by no event
            await trio.sleep(0.01)


async def goes_on(program: Program) -> None:
    """See that what stood stands, and that past the limit all is as ever."""
    await program(at.send, 1, b"?")
    assert await program(at.receive, 1, 1) == b"?"
    await all_closed(program)
    await program(at.open_connections, "server.test", ECHO, 2)
    await program(at.use_all)


async def test_connections_and_names_are_told_at_once(program: Program) -> None:
    """The first question too, for which what reads it is loaded."""
    for _ in range(3):
        await is_told_at_once(program)
    await goes_on(program)
    done = await program.session.end()
    assert done.status == 0
    assert "Traceback" not in done.stderr
    assert "visible. What changes it: ulimit -Hn. See: keepline explain " in done.stderr
    told = [*done.all(DialFailed), *done.all(TurnedAway)]
    assert {event.kind for event in told} == {Kind.RESOURCES}


async def test_a_change_of_addresses_is_acted_upon(internet: Internet, program: Program) -> None:
    internet.renumber_client("10.1.0.3")
    assert await program(at.receive_to_end, 1) == (b"", "ConnectionResetError")
    assert within(program.seconds, AT_ONCE)
    await all_closed(program)
    await program(at.open_connections, SERVER, ECHO, 2)
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
    await all_closed(program)
    await program(at.open_connections, SERVER, ECHO, 2)
    await program(at.use_all)
    assert (await program.session.end()).status == 0


async def test_the_end_has_the_commands_status(program: Program) -> None:
    """What it connects to last waits when the relay learns of its end."""
    relay, (_itself, command, *_below) = (
        program.session.process,
        await processes(program.session.pid),
    )
    relay.send_signal(signal.SIGSTOP)
    for _ in range(3):
        await program(at.begin_connecting, SERVER, ECHO)
    pidfd = os.pidfd_open(command.pid)
    program.session.write(at.encode((at.exit_at_once, (3,))))
    with trio.fail_after(patience(10)):
        await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)
    relay.send_signal(signal.SIGCONT)
    done = await program.session.end()
    assert done.status == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr


async def test_a_connection_to_the_gateway_is_told_at_once(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await serve_api(internet, nursery)
    options = ["--gateway=http", f"--gateway-hosts={NAME}"]
    async with inside(keepline_of(internet), options) as program:
        await program(at.open_connections, "127.0.0.1", BASE_URL_PORT, 1)
        await program.session.until(ConnectionOpened)
        leave(program.session.pid, 1)
        assert await program(at.refused, "127.0.0.1", BASE_URL_PORT) == "ECONNRESET"
        assert within(program.seconds, AT_ONCE)
        fault = await program.session.until(Fault)
        assert (fault.where, fault.kind, fault.saw) == ("connection", Kind.RESOURCES, "a reset")
        await program(at.close_all)
        await program(at.open_connections, "127.0.0.1", BASE_URL_PORT, 1)
        assert (await program.session.end()).status == 0
