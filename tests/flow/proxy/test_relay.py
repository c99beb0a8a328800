"""A whole relay behind the proxy: settings, record and ports as in a namespace, and no fault."""

import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from netns.errors import KeeplineError
from relay.config import Settings, Sources, way_out
from relay.descriptors import SPARE
from relay.gateway.setup.prepare import Without
from relay.inbound.proxy.secret import USER
from relay.proxy import entrance
from relay.proxy.entrance import Entrance
from relay.record.events import ConnectionClosed, Event, Fault, PolicyTightened, ServiceDown
from relay.server import Relay
from tests.support.inprocess.proxy import echo, until
from tests.support.pace import patience

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@asynccontextmanager
async def relayed(
    settings: Settings, sources: Sources | None = None
) -> AsyncIterator[tuple[Entrance, list[Event]]]:
    events: list[Event] = []
    with entrance.opened(0, is_open=False) as door, trio.fail_after(patience(30)):
        without = Without("off", by_choice=True)
        ports = door.host_ports(settings)
        relay = Relay(
            settings,
            door.ways_in(without),
            events.append,
            without,
            sources or Sources(),
            ports,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.serve)
            yield door, events
            await relay.finish()
            nursery.cancel_scope.cancel()
    SPARE.keep(0)
    assert not [each for each in events if isinstance(each, Fault | ServiceDown)]


def asking(door: Entrance, to: str) -> bytes:
    assert door.secret is not None
    shown = base64.b64encode(f"{USER}:{door.secret.token}".encode()).decode()
    return (
        f"CONNECT {to} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {shown}\r\n\r\n".encode()
    )


async def ask(door: Entrance, to: str) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", door.port)
    await stream.send_all(asking(door, to))
    return stream


async def test_a_port_of_the_host_is_reached_where_it_is_open() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        async with relayed(Settings(host_ports=(port,))) as (door, events):
            async with await ask(door, f"127.0.0.1:{port}") as stream:
                await stream.send_all(b"hello")
                await stream.send_eof()
                assert b"".join([each async for each in stream]) == ESTABLISHED + b"hello"
            await until(lambda: any(isinstance(each, ConnectionClosed) for each in events))
            for closed in (f"127.0.0.1:{door.port}", "127.0.0.1:1", "[::1]:1"):
                async with await ask(door, closed) as stream:
                    assert (await stream.receive_some()).startswith(b"HTTP/1.1 502 ")
        nursery.cancel_scope.cancel()


async def test_rules_become_tighter_while_it_serves(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    async with relayed(Settings(), Sources(path=str(path))) as (door, events):
        path.write_text('deny = ["denied.example"]\n')
        await until(lambda: any(isinstance(each, PolicyTightened) for each in events))
        async with await ask(door, "denied.example:443") as stream:
            answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 403 ")
            assert b"denied.example" in answer


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (Settings(strict=True), "--strict"),
        (Settings(publish=("80:80",)), "--publish"),
        (Settings(policy_mode="allowlist", allow=("a.test",)), "allowlist"),
    ],
)
def test_promises_of_a_namespace_are_not_made(settings: Settings, what: str) -> None:
    with pytest.raises(KeeplineError, match="needs a namespace") as raised:
        entrance.require_possible(settings)
    assert what in raised.value.cause
    entrance.require_possible(Settings(allow=("a.test",), publish=("off",)))


def test_what_does_not_hold_is_told() -> None:
    with entrance.opened(0, is_open=True) as door:
        told = entrance.told(door, Settings(deny=("a.test",)))
        assert "for every user of this host" in told
        assert told.endswith("go past keepline; rules bind only those that use it")
        with (
            pytest.raises(KeeplineError, match="cannot listen"),
            entrance.opened(door.port, is_open=False),
        ):
            pass


def test_a_way_out_that_leads_back_in_is_refused() -> None:
    with entrance.opened(0, is_open=True) as door:
        for host in ("127.0.0.1", "localhost"):
            here = Settings(proxy=f"http://{host}:{door.port}")
            with pytest.raises(KeeplineError, match="is this proxy itself"):
                door.require_other(way_out.find(here, {}, print))
        door.require_other(way_out.find(Settings(proxy="http://127.0.0.1:1"), {}, print))
        door.require_other(None)


def test_it_listens_on_loopback_alone() -> None:
    with entrance.opened(0, is_open=False) as door:
        assert door.sock.getsockname()[0] == "127.0.0.1"
        assert door.sock.family == socket.AF_INET
