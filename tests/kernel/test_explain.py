"""keepline explain: a session that met one loss of each kind, told to whoever knows nothing."""

import re

import trio

from relay.record.events import (
    Cleared,
    ConnectionClosed,
    DialHeld,
    PathDown,
    SessionStarted,
)
from relay.record.kinds import Kind
from relay.record.story.advice import ADVICE
from relay.record.story.telling import REPEAT
from tests.support.command import program as at
from tests.support.command.driver import inside
from tests.support.command.keepline import Keepline
from tests.support.inprocess import client_hello
from tests.support.internet.servers.broken import answer_then_reset, close_after, in_turn
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.servers.zone import Trouble
from tests.support.internet.world import SERVER, Internet

ECHO = 7
TLS = 443
CUT = 80
NAME = "brief.test"


async def test_one_loss_of_each_kind(internet: Internet, nursery: trio.Nursery) -> None:
    hello = client_hello.real(NAME)
    internet.zone.add(NAME, "A", SERVER, ttl=0)
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    await nursery.start(
        serve, in_turn(close_after(len(hello)), echo), listen(internet.server, SERVER, TLS)
    )
    await nursery.start(serve, answer_then_reset(b"half"), listen(internet.server, SERVER, CUT))
    keepline = Keepline(internet)
    async with inside(keepline) as program:
        session = program.session

        # DNS falls silent after a name was seen; then the server drops a handshake.
        await program(at.look_up, NAME)
        internet.zone.trouble = Trouble(silent=True)
        number = await program(at.open_connection, NAME, TLS)
        await program(at.send, number, hello)
        assert await program(at.receive, number, len(hello)) == hello
        await program(at.close, number)

        # No route for a while; then an outage while a connection waits.
        internet.access.left.down()
        waiting = await program(at.begin_connecting, SERVER, ECHO)
        await session.until(DialHeld)
        internet.access.left.up()
        assert await program(at.connected, waiting, 5) == "connected"
        await program(at.send, waiting, b"hello")
        assert await program(at.receive, waiting, 5) == b"hello"
        internet.backbone.unplug()
        await program(at.send, waiting, b"again")
        await session.until(PathDown)
        internet.backbone.plug()
        assert await program(at.receive, waiting, 5) == b"again"
        await session.until(Cleared)

        # A reset in the middle of an answer; a NAT that forgets.
        cut = await program(at.open_connection, SERVER, CUT)
        await program(at.send, cut, b"question")
        assert await program(at.receive_to_end, cut) == (b"half", "ConnectionResetError")
        internet.nat.forget()
        await program(at.send, waiting, b"once more")
        assert await program(at.receive_to_end, waiting) == (b"", "ConnectionResetError")
        await session.until(ConnectionClosed, lambda event: event.how == "timeout")
        done = await session.end()

    counted = "6 losses: 4 hidden, 2 visible."
    session_name = done.only(SessionStarted).session
    assert done.stderr == (
        f"keepline: {counted} What changes it: --keepidle. See: keepline explain {session_name}\n"
    )
    first, *lines = (await keepline.call("explain")).stdout.decode().splitlines()
    assert first.startswith("session ")
    expected = [
        r"hidden   brief\.test: DNS failed \(.*\); the last known address served",
        r"hidden   brief\.test:443: lost before the first byte of an answer \(closed\); the TLS"
        r" ClientHello went to 203\.0\.113\.10 instead",
        r"hidden   203\.0\.113\.10:7: not reachable for \d\.\d s \(Network is unreachable\); .*",
        r"hidden   203\.0\.113\.10:7: silent for \d+\.\d s in an outage, then went on",
        r"VISIBLE  203\.0\.113\.10:80: reset by the other side \(Connection reset by peer\) right"
        r" after 4 B of an answer, perhaps in the middle of it; the program saw a reset",
        r"VISIBLE  203\.0\.113\.10:7: fell silent \(no ACK for \d+ s, but a new connection is"
        r" answered\) while it waited for an answer, .*; the program saw a reset",
    ]
    for line, pattern in zip(lines, expected, strict=False):
        assert re.fullmatch(rf"\d\d:\d\d:\d\d  {pattern}", line)
    assert lines[6:] == [
        counted,
        f"  reset: {ADVICE[Kind.RESET].text}.",
        f"  forgotten: {ADVICE[Kind.FORGOTTEN].text}.",
        REPEAT,
    ]
    verbose = (await keepline.call("explain", "-v")).stdout.decode()
    assert "3 retransmissions" in verbose
