"""What programs do and what happens to the machine, each scenario some tens of milliseconds long.

A scenario is run with a fault in it, so it takes what comes: runs.py says what may not come.
"""

import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import dns.rcode
import h11
import trio
import trio.testing

from relay.outbound.standing import Watched
from relay.record.events import (
    Event,
    HostPortClosed,
    HostPortOpened,
    PolicyTightened,
    Published,
    PublishEnded,
)
from tests.support.faults.calls import FaultySocket
from tests.support.faults.session import ASKED, DENIED, NoAnswerError, Session
from tests.support.faults.world import (
    ABSENT,
    CUT,
    ECHO,
    FRAGILE,
    H1_API,
    H2_API,
    HOST,
    HTTP_ECHO,
    NOBODY,
    PLAIN_API,
    SERVER,
    SILENT,
    SINK,
    SLOW,
    SOURCE,
    SPARE,
    THIRD,
    UPGRADES,
)
from tests.support.inprocess import client_hello
from tests.support.inprocess.gateway import Program

MAY_COME: Final = (
    *(OSError, trio.BrokenResourceError, trio.ClosedResourceError),
    *(NoAnswerError, AssertionError, h11.RemoteProtocolError, h11.LocalProtocolError),
)
"""What a program may meet because of a fault: an error, or an end."""

_NOTICED: Final = 2.0
"""Seconds in which a rule that is added holds, and an editor is found, if nothing fails."""

_PUBLISHED: Final = 20.0
"""Seconds in which a port inside is published, or no more, if nothing fails."""

_BULK: Final = 2 << 20
_STREAM: Final = json.dumps({"seed": 7, "stream": True}).encode()


@dataclass(frozen=True)
class Scenario:
    """One of them; what it needs, and whether the session is to end in it."""

    do: Callable[[Session], Awaitable[None]] | None
    """None: a whole session."""
    way: str = "tproxy"
    gateway: bool = False
    allowlist: bool = False
    proxied: str = ""
    published: bool = False
    ends: bool = False

    @property
    def name(self) -> str:
        """Its function's, and how connections are intercepted."""
        by = self.proxied or self.way
        return f"{self.do.__name__} by {by}" if self.do is not None else "session"


async def _end(stream: trio.abc.ReceiveStream) -> None:
    """Wait for the end, which may be a reset."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass


async def connection(session: Session) -> None:
    """Connect by name, speak, half-close; FIN for FIN."""
    async with await session.connect(await session.address_of(session.new_name()), ECHO) as stream:
        await session.echoed(stream)
        await stream.send_eof()
        await stream.receive_some()


async def race(session: Session) -> None:
    """Connect to names with two addresses, one of which may be silent."""
    for name in ("two.test", "slow.test"):
        async with await session.connect(await session.address_of(name), ECHO) as stream:
            await session.echoed(stream)


async def through_proxies(session: Session) -> None:
    """Connect through proxies, of whom one may have to be told another password."""
    address = await session.address_of(session.new_name())
    for port in (ECHO, HTTP_ECHO):
        async with await session.connect(address, port) as stream:
            await session.echoed(stream)
    with suppress(OSError, trio.BrokenResourceError):
        async with await session.connect(address, NOBODY) as stream:
            await _end(stream)


async def forwarded(session: Session) -> None:
    """Ask a web server by a proxy that allows CONNECT for TLS alone; say what is no HTTP."""
    address = await session.address_of(session.new_name())
    for said in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", b"?\r\n\r\n"):
        async with await session.connect(address, HTTP_ECHO) as stream:
            await stream.send_all(said)
            await _end(stream)


async def published(session: Session) -> None:
    """Servers inside are reached from the host, as long as they are there."""
    listeners = [session.listen(port) for port in (ASKED, ASKED + 1)]
    with trio.move_on_after(_PUBLISHED):
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(trio.serve_listeners, _echo, [listener])
            for number in range(2):
                await session.until(lambda: len(session.of(Published)) > number)  # noqa: B023
                await _dial_published(session, ASKED + number)
            nursery.cancel_scope.cancel()
    await _dial_published(session, ASKED)
    with trio.move_on_after(_PUBLISHED):
        await session.until(lambda: session.of(PublishEnded))


async def _dial_published(session: Session, port: int) -> None:
    """Connect on the host to a port inside, if it is published, and speak to whoever is there."""
    places = {each.port: each.host_port for each in session.of(Published)}
    with suppress(OSError, trio.BrokenResourceError, AssertionError, KeyError):
        async with await trio.open_tcp_stream("127.0.0.1", places[port]) as stream:
            await session.echoed(stream)


async def _echo(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async for data in stream:
            await stream.send_all(data)


async def turned_away(session: Session) -> None:
    """Connect while there is no descriptor left."""
    session.meet_limit()
    with suppress(OSError, trio.BrokenResourceError, AssertionError):
        async with await session.connect(SERVER, ECHO) as stream:
            await session.echoed(stream)


async def given_up(session: Session) -> None:
    """Give a connect() up: at once, and while nobody answers."""
    with session.namespace.new_socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.connect_ex((SERVER, ECHO))
    with trio.move_on_after(0.5):
        await session.connect(SILENT, ECHO)
    await trio.sleep(2)


async def redirected(session: Session) -> None:
    """Connect where conntrack knows the destination."""
    async with await session.connect(SERVER, ECHO) as stream:
        await session.echoed(stream)


async def refusals(session: Session) -> None:
    """Meet a refusal by policy, one by the server, and one on loopback.

    If the packet that says it is lost, the program's kernel asks again after a second of its own
    time, for which nobody waits here.
    """
    for address, port in ((SERVER, DENIED), (SERVER, NOBODY), ("127.0.0.1", NOBODY)):
        with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(1):
            async with await session.connect(address, port) as stream:
                await stream.receive_some()
    await trio.testing.wait_all_tasks_blocked()  # the relay has read of the last


async def host_port(session: Session) -> None:
    """Reach the host's loopback where it is open: a server, one that ends first, and nobody.

    What gets no answer is not waited for, as in refusals().
    """
    for address, port in (("127.0.0.1", ECHO), (HOST, ECHO), (HOST, CUT), (HOST, ABSENT)):
        with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(1):
            async with await session.connect(address, port) as stream:
                await session.echoed(stream)
                await stream.send_eof()
                await _end(stream)
    await trio.testing.wait_all_tasks_blocked()


async def names(session: Session) -> None:
    """Ask for several types, over UDP and TCP."""
    for name, rdtype in ((session.new_name(), "AAAA"), ("localhost", "A"), ("long.test", "TXT")):
        assert (await session.ask(name, rdtype)).rcode() == dns.rcode.NOERROR
    await session.ask_by_tcp(session.new_name())


async def resolvers(session: Session) -> None:
    """Ask after resolv.conf has been written anew."""
    session.world.resolv_conf.write_text(session.world.resolv_conf.read_text() + "#\n")
    await session.ask(session.new_name())


async def replay(session: Session) -> None:
    """Send a ClientHello to a server that resets the first connection."""
    hello = client_hello.real()
    async with await session.connect(SERVER, FRAGILE) as stream:
        await session.echoed(stream, hello)
    async with await session.connect(await session.address_of("half.test"), FRAGILE) as stream:
        await stream.send_all(hello)
        await trio.sleep(0.1)  # another upstream is being dialled
        with suppress(OSError, trio.BrokenResourceError):
            await stream.send_all(b"more")
            await trio.sleep(1)
            await stream.send_eof()
        await _end(stream)


async def urgent(session: Session) -> None:
    """Send an urgent byte between others."""
    async with await session.connect(SERVER, ECHO) as stream:
        await session.echoed(stream)
        await stream.socket.send(b"!", socket.MSG_OOB)
        await trio.testing.wait_all_tasks_blocked()
        await session.echoed(stream)


async def loss(session: Session) -> None:
    """Lose a server in the middle of an answer."""
    async with await session.connect(SERVER, CUT) as stream:
        await stream.send_all(b"x")
        await _end(stream)


async def download(session: Session) -> None:
    """Take much, slowly at first, so that buffers are full and pipes are used."""
    async with await session.connect(SERVER, SOURCE, room=4096) as stream:
        await stream.send_all(b"%d\n" % _BULK)
        await trio.testing.wait_all_tasks_blocked()
        got = len(await stream.receive_some(1 << 20))
        await trio.testing.wait_all_tasks_blocked()
        while data := await stream.receive_some(1 << 20):
            got += len(data)
        assert got > _BULK, f"an end after {got} bytes"


async def upload(session: Session) -> None:
    """Send much."""
    async with await session.connect(SERVER, SINK) as stream:
        await stream.send_all(bytes(_BULK))
        await stream.send_eof()
        assert await stream.receive_some(), "an end without an answer"


async def broken_pipe(session: Session) -> None:
    """Go away in the middle of a download, with a pipe half full."""
    async with await session.connect(SERVER, SOURCE, room=4096) as stream:
        await stream.send_all(b"%d\n" % (4 * _BULK))
        got = 0
        while got < _BULK:
            got += len(await stream.receive_some(1 << 16))
        await trio.testing.wait_all_tasks_blocked()
    await trio.testing.wait_all_tasks_blocked()


async def retirement(session: Session) -> None:
    """Leave a connection idle for longer than its destination is to be."""
    async with await session.connect(THIRD, SLOW) as stream:
        await session.echoed(stream)
        await _end(stream)


async def network(session: Session) -> None:
    """Lose the address that a connection uses."""
    session.world.has_spare(there=True)
    try:
        async with await session.connect(SPARE, ECHO) as stream:
            await session.echoed(stream)
            await trio.testing.wait_all_tasks_blocked()
    finally:
        session.world.has_spare(there=False)
    await trio.testing.wait_all_tasks_blocked()


async def lost_address(session: Session) -> None:
    """Lose the address that a connection uses while it is used."""
    session.world.has_spare(there=True)
    try:
        stream = await session.connect(SPARE, ECHO)
        await session.echoed(stream)
    finally:
        session.world.has_spare(there=False)
    async with stream:
        await _end(stream)


async def suspend(session: Session) -> None:
    """Sleep with connections that are alive."""
    async with await session.connect(SERVER, ECHO) as stream:
        await session.echoed(stream)
        session.sleep_machine()
        await trio.sleep(5)
        await session.echoed(stream)


async def forgotten(session: Session) -> None:
    """Sleep with a connection that a NAT forgets meanwhile."""
    before = set(session.relay.standing.connections)
    async with await session.connect(SERVER, ECHO) as stream:
        await session.echoed(stream)
        _forget(session, before)
        session.sleep_machine()
        await _end(stream)


def _forget(session: Session, before: set[Watched]) -> None:
    """Let all upstream connections but those from before seem dead."""
    for each in session.relay.standing.connections - before:
        if isinstance(each.sock, FaultySocket):
            each.sock.is_silent = True


async def _asked(program: Program, method: str, target: str, body: bytes = b"") -> None:
    """Ask, and see that the answer is there."""
    answer = await program.ask(method, target, body)
    assert (answer.status, answer.loss) == (200, ""), f"{answer.status} {answer.loss}"


async def plain_api(session: Session) -> None:
    """Ask by HTTP/1.1 without TLS, twice on a connection; then speak no HTTP."""
    async with session.api(PLAIN_API, tls=False) as program:
        for _ in range(2):
            await _asked(program, "POST", "/v1/messages", _STREAM)
    async with session.api(PLAIN_API, tls=False) as program:
        await program.stream.send_all(b"what?\r\n\r\n")
        await _end(program.stream)


async def h2_api(session: Session) -> None:
    """Ask by TLS and HTTP/2, and leave the connection idle for as long as a PING takes."""
    async with session.api(H2_API, tls=True) as program:
        await _asked(program, "POST", "/v1/messages", _STREAM)
        await trio.sleep(25)
        await _asked(program, "GET", "/v1/models")


async def h1_api(session: Session) -> None:
    """Ask by TLS and HTTP/1.1, and again after the connection was forgotten."""
    before = set(session.relay.standing.connections)
    async with session.api(H1_API, tls=True) as program:
        await _asked(program, "GET", "/v1/models")
        _forget(session, before)
        session.sleep_machine()
        await trio.sleep(10)
        await _asked(program, "GET", "/v1/models")


async def refused_certificate(session: Session) -> None:
    """Close when the certificate has come, after a ClientHello in two pieces; then within one."""
    hello = client_hello.real("api.test")
    address = await session.address_of("api.test")
    async with await session.connect(address, H1_API) as stream:
        await stream.send_all(hello[:100])
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(hello[100:])
        await stream.receive_some()
    async with await session.connect(address, H1_API) as stream:
        await stream.send_all(hello[:100])
        await trio.testing.wait_all_tasks_blocked()


async def cut_api(session: Session) -> None:
    """Lose an answer of which the program has much already."""
    session.cut_answers()
    async with session.api(PLAIN_API, tls=False) as program:
        await program.ask("POST", "/v1/messages", _STREAM)


async def upgrade(session: Session) -> None:
    """Change the protocol."""
    async with session.api(UPGRADES, tls=False) as program:
        await program.stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\n\r\n")
        await program.stream.receive_some()
        await session.echoed(program.stream)


async def rules(session: Session) -> None:
    """A rule is added while the relay runs, and another one: by then the files are watched."""
    for count in (1, 2):
        session.add_rule(count)
        await _noticed(session, PolicyTightened, count)


async def editor(session: Session) -> None:
    """An editor says that it serves, and does so no longer."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        lock = session.has_editor(sock.getsockname()[1])
        await _noticed(session, HostPortOpened)
        lock.unlink()
        await _noticed(session, HostPortClosed)


async def _noticed(session: Session, kind: type[Event], count: int = 1) -> None:
    """Wait until so many events of a kind are recorded, as long as that takes if nothing fails."""
    with trio.move_on_after(_NOTICED):
        while sum(isinstance(event, kind) for event in session.events) < count:  # noqa: ASYNC110
            await trio.sleep(0.05)


async def hello_in_pieces(session: Session) -> None:
    """Send a ClientHello in two pieces, the first of which is held until the name is there."""
    hello = client_hello.real("server.test")
    async with await session.connect(SERVER, ECHO) as stream:
        await stream.send_all(hello[:100])
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(hello[100:])
        await session.hears(stream, hello)


async def last_words(session: Session) -> None:
    """End the session while one program has just said something and gone, and another is there."""
    there = await session.connect(SERVER, ECHO)
    await session.echoed(there)
    waiting = await session.connect(SERVER, ECHO)
    async with await session.connect(SERVER, SINK) as stream:
        await stream.send_all(bytes(100))
    await session.relay.finish()
    for stream in (there, waiting):
        await stream.aclose()


async def last_words_of_a_dial(session: Session) -> None:
    """End the session while a program's host is dialled, to which it has spoken already."""
    async with await session.connect(SILENT, ECHO) as stream:
        await stream.send_all(b"words")
        await stream.send_eof()
        await trio.testing.wait_all_tasks_blocked()
        await session.relay.finish()


SCENARIOS: Final = (
    Scenario(connection),
    Scenario(names),
    Scenario(resolvers),
    Scenario(refusals),
    Scenario(refusals, way="redirect"),
    Scenario(host_port),
    Scenario(race),
    Scenario(through_proxies, proxied="socks5"),
    Scenario(through_proxies, proxied="changed"),
    Scenario(forwarded, proxied="http"),
    Scenario(forwarded, proxied="https"),
    Scenario(published, published=True),
    Scenario(given_up),
    Scenario(redirected, way="redirect"),
    Scenario(turned_away, way="redirect"),
    Scenario(replay),
    Scenario(urgent),
    Scenario(loss),
    Scenario(network),
    Scenario(lost_address),
    Scenario(download),
    Scenario(upload),
    Scenario(broken_pipe),
    Scenario(retirement),
    Scenario(suspend),
    Scenario(forgotten),
    Scenario(rules),
    Scenario(editor),
    Scenario(hello_in_pieces, allowlist=True),
    Scenario(plain_api, gateway=True),
    Scenario(refused_certificate, gateway=True),
    Scenario(cut_api, gateway=True),
    Scenario(upgrade, gateway=True),
    Scenario(h1_api, gateway=True),
    Scenario(h2_api, gateway=True),
    Scenario(last_words, ends=True),
    Scenario(last_words_of_a_dial, way="redirect", ends=True),
    Scenario(None),
)
