"""The gateway hides losses from real programs, says so, and asks again soon after the network."""

import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
import trio

from relay.record import files, flightlog
from relay.record.events import (
    AnyEvent,
    AskedAgain,
    PathDown,
    RequestLost,
    SessionEnded,
    SessionStarted,
)
from relay.record.story.telling import REPEAT
from tests.support.command.asking import (
    HTTP,
    NAME,
    TLS,
    URL,
    Answer,
    answers,
    arrival,
    ask,
    explained,
    keepline_of,
    said,
    serve_api,
)
from tests.support.command.keepline import Done, Keepline, Session
from tests.support.command.terminal import Terminal
from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.api.server import Api
from tests.support.internet.servers.api.stream import Position
from tests.support.internet.world import Internet
from tests.support.pace import patience, within

POST: Final = ("POST", f"{URL}/v1/messages")
IN_FIRST_BLOCK: Final = Failure(Fault.RST, Position.IN_TEXT, pause=0.2)
NEVER: Final = Failure(Fault.FIN, pause=3600)
"""No answer comes for as long as a test lasts."""

DOORS: Final = pytest.mark.parametrize("door", [TLS, HTTP], ids=["tls", "http"])


@pytest.fixture
async def api(internet: Internet, nursery: trio.Nursery) -> Api:
    """Serve https://server.test."""
    return await serve_api(internet, nursery)


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    """Return keepline, whose programs trust the internet's authority, and so does it."""
    return keepline_of(internet, internet.authority)


def words(door: tuple[str, ...]) -> tuple[str, str]:
    """Return what is asked at a door."""
    return ("POST", "/v1/messages") if door is HTTP else POST


# Told


@DOORS
@pytest.mark.parametrize("program", ["bun", "node"])
async def test_a_loss_is_hidden_from_the_program_and_told_to_people(
    api: Api, keepline: Keepline, door: tuple[str, ...], program: str
) -> None:
    api.script.add(IN_FIRST_BLOCK)
    done = await keepline.run(*ask(program, *words(door)), options=door)
    (answer,) = answers(done)
    assert (answer.status, answer.text) == (200, said(version=1))
    assert len(api.log.asked) == 2
    name = done.only(SessionStarted).session
    assert done.stderr == (f"keepline: 1 loss: 1 hidden, 0 visible. See: keepline explain {name}\n")
    _first, line, *rest = await explained(keepline)
    assert re.match(rf"\d\d:\d\d:\d\d  hidden   {NAME}:443: .* POST /v1/messages ", line)
    assert "asked again" in line
    assert line.endswith("may bill both")
    assert rest == ["1 loss: 1 hidden, 0 visible."]


async def test_a_loss_that_cannot_be_hidden_is_told_too(api: Api, keepline: Keepline) -> None:
    api.script.add(*[Failure(Fault.RST)] * 6)
    done = await keepline.run(*ask("bun", *POST), options=TLS)
    (answer,) = answers(done)
    assert (answer.status, answer.retry) == (502, "true")
    assert "see keepline explain" in answer.text
    assert len(api.log.asked) == 6
    assert "6 losses: 5 hidden, 1 visible. " in done.stderr
    *_lines, visible, _count, _kind, advice = await explained(keepline)
    assert "  VISIBLE  " in visible
    assert "the program saw status 502 with the cause in it" in visible
    assert advice == REPEAT


# What is held


def is_hidden(events: list[AnyEvent]) -> bool:
    """Return what became of the loss in the first block: with hold = block it is visible."""
    (event,) = [event for event in events if isinstance(event, AskedAgain | RequestLost)]
    if isinstance(event, RequestLost):
        held = "--hold=message would have held it back"
        assert event.why == f"the program has part of the answer; {held}"
    return isinstance(event, AskedAgain)


@pytest.mark.parametrize(
    ("hold", "hidden"), [("auto", True), ("message", True), ("block", False), ("none", False)]
)
async def test_without_a_terminal_all_is_held_unless_told_otherwise(
    api: Api, keepline: Keepline, hold: str, *, hidden: bool
) -> None:
    for source in ("flag", "file", "environment"):
        api.log.asked.clear()  # the same message each time, and so the same place of the loss
        api.script.add(IN_FIRST_BLOCK)
        keepline.config.write_text(f'[gateway]\nhold = "{hold}"\n' if source == "file" else "")
        done = await keepline.run(
            *ask("bun", *POST),
            options=[*TLS, f"--hold={hold}"] if source == "flag" else TLS,
            env={"KEEPLINE_HOLD": hold} if source == "environment" else None,
        )
        assert is_hidden(done.events) == hidden


@pytest.mark.parametrize(("options", "hidden"), [([], False), (["--hold=message"], True)])
async def test_on_a_terminal_the_first_block_is_not_held(
    api: Api, keepline: Keepline, options: list[str], *, hidden: bool
) -> None:
    api.script.add(IN_FIRST_BLOCK)
    argv = keepline.argv("run", *TLS, *options, "--", *ask("bun", *POST))
    async with Terminal(keepline.host, keepline.folder, keepline.environment, argv) as terminal:
        await terminal.shows(r"^keepline: 1 loss: ")
    (log,) = files.sessions(keepline.sessions)
    assert is_hidden(list(flightlog.read(log))) == hidden


# The network


@asynccontextmanager
async def waiting(api: Api, keepline: Keepline, door: tuple[str, ...]) -> AsyncIterator[Session]:
    """Run a program whose request has reached the API, which does not answer it."""
    api.script.add(NEVER)
    arrived = arrival(api)
    async with keepline.start(*ask("bun", *words(door)), options=door) as session:
        with trio.fail_after(patience(10)):
            await arrived.wait()
        yield session


async def answered(api: Api, session: Session) -> tuple[Done, float]:
    """Wait for the end, at which the program has the answer to another try; give the seconds."""
    began = trio.current_time()
    done = await session.end()
    assert answers(done) == [Answer(200, None, said(version=1))]
    assert len(api.log.asked) == 2
    assert done.only(AskedAgain).may_be_billed
    return done, trio.current_time() - began


@DOORS
async def test_a_nat_that_forgets_while_the_answer_is_awaited(
    internet: Internet, api: Api, keepline: Keepline, door: tuple[str, ...]
) -> None:
    async with waiting(api, keepline, door) as session:
        internet.nat.forget()
        _done, seconds = await answered(api, session)
    assert within(seconds, 12)


@DOORS
async def test_another_address_while_the_answer_is_awaited(
    internet: Internet, api: Api, keepline: Keepline, door: tuple[str, ...]
) -> None:
    async with waiting(api, keepline, door) as session:
        internet.renumber_client("10.1.0.3")
        done, seconds = await answered(api, session)
    assert within(seconds, 3)
    assert done.only(AskedAgain).cause == "the host's address is gone"


@DOORS
async def test_an_outage_while_the_answer_is_awaited(
    internet: Internet, api: Api, keepline: Keepline, door: tuple[str, ...]
) -> None:
    """After it, the router knows nothing of the connection any more."""
    async with waiting(api, keepline, door) as session:
        internet.backbone.unplug()
        await session.until(PathDown)
        internet.nat.forget()
        internet.backbone.plug()
        _done, seconds = await answered(api, session)
    assert within(seconds, 15)


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_command_that_ends_while_it_waits_ends_the_session(
    api: Api, keepline: Keepline, number: signal.Signals
) -> None:
    api.script.add(NEVER)
    arrived = arrival(api)
    argv = ("sh", "-c", 'echo $$; exec "$@"', "sh", *ask("bun", *POST))
    async with keepline.start(*argv, options=TLS) as session:
        command = int(await session.readline())
        with trio.fail_after(patience(20)):
            await arrived.wait()
        os.kill(command, number)
        done = await session.end()
    assert done.status == 128 + number
    assert len(api.log.asked) == 1
    assert done.stderr == ""
    assert within(done.only(SessionEnded).seconds, 3)
