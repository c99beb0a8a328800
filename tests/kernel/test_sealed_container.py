"""A container without a network is relayed for by a relay outside, and nothing else leaves it."""

import os
import shlex
import socket
from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest
import trio

from relay.record.events import (
    ConnectionDenied,
    DialHeld,
    Published,
    SessionEnded,
    SessionStarted,
)
from tests.support.command import ports
from tests.support.command import program as at
from tests.support.command.asking import (
    HTTP,
    TLS,
    URL,
    answers,
    ask,
    keepline_of,
    said,
    serve_api,
)
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.command.sealed import Relay, makes_its_own, relaying, stays
from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.api.stream import Position
from tests.support.internet.servers.listening import connect, listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SECOND, SERVER, Internet

PORT: Final = 8080
INSIDE: Final = 5099
EXCHANGE: Final = f"exec 3<>/dev/tcp/server.test/{PORT}; echo hello >&3; read -r l <&3; echo $l"
CONTAINERS: Final = [makes_its_own, stays]
Container = Callable[[], list[str]]


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    await nursery.start(serve, echo, listen(internet.server, SERVER, PORT))
    return Keepline(internet)


@pytest.fixture
async def relay(keepline: Keepline) -> AsyncIterator[Relay]:
    async with relaying(keepline) as made:
        yield made


@pytest.mark.parametrize("container", CONTAINERS)
async def test_it_reaches_servers_by_name_and_is_recorded_outside(
    relay: Relay, container: Container
) -> None:
    done = await relay.run("bash", "-c", EXCHANGE, container=container())
    assert (done.stdout, done.stderr) == (b"hello\n", "")
    (events,) = relay.records()
    assert isinstance(started := events[0], SessionStarted)
    assert (started.program, started.intercept) == ("bash", "tproxy")
    assert "in a sealed container (uid " in started.peer
    assert isinstance(ended := events[-1], SessionEnded)
    assert (ended.status, ended.connections) == (0, 1)


async def test_in_the_containers_own_namespace_no_capability_over_it_is_left(relay: Relay) -> None:
    told = "grep -E 'CapInh|CapBnd|NoNewPrivs' /proc/self/status; ip link set lo down 2>&1"
    done = await relay.run("sh", "-c", told, container=stays(), check=False)
    inheritable, bounding, no_new, refused = done.stdout.decode().splitlines()
    assert int(inheritable.split()[1], 16) == 0
    assert int(bounding.split()[1], 16) & (1 << 12 | 1 << 13 | 1 << 21) == 0
    assert (no_new.split()[1], "not permitted" in refused) == ("1", True)


async def test_a_container_lives_through_several_sessions(relay: Relay) -> None:
    words = [needs("sh"), "-c", 'for _ in 1 2; do "$@" || exit; done', "sh"]
    words += relay.argv("bash", "-c", EXCHANGE)
    done = await relay.keepline.host.run_process([*stays(), *words], env=relay.keepline.environment)
    assert (done.stdout, done.stderr) == (b"hello\nhello\n", b"")
    assert len(relay.records()) == 2


async def test_a_strict_command_is_confined_as_ever(relay: Relay) -> None:
    told = f"ls /proc | grep -c '^[0-9]'; {EXCHANGE}"
    options = ["--strict", "--allow", "server.test"]  # its address is of no host of the internet
    done = await relay.run("bash", "-c", told, container=makes_its_own(), options=options)
    count, hello = done.stdout.splitlines()
    assert (int(count) < 6, hello, done.stderr) == (True, b"hello", "")
    done = await relay.run("true", container=stays(), options=["--strict"], check=False)
    assert done.status == 125
    assert "--strict needs namespaces of its own" in done.stderr


async def test_one_session_at_a_time_has_the_containers_own_namespace(relay: Relay) -> None:
    fifo = str(relay.keepline.folder / "fifo")
    os.mkfifo(fifo)
    first = shlex.join(relay.argv("sh", "-c", f"echo >{fifo}; read -r _ <{fifo}"))
    second = f"{shlex.join(relay.argv('true'))}; echo $?; echo >{fifo}"
    script = f"{first} & read -r _ <{fifo}; {second}; wait"
    done = await relay.keepline.host.run_process(
        [*stays(), needs("bash"), "-c", script], env=relay.keepline.environment
    )
    assert done.stdout == b"125\n"
    assert b"port 53 of the container: Address already in use" in done.stderr
    assert b"another keepline run" in done.stderr


LACKS: Final = {
    "net_admin": "--network=none --cap-add NET_ADMIN; or: ",
    "setpcap": "start the container with --cap-add SETPCAP",
}


@pytest.mark.parametrize("lacking", LACKS)
async def test_what_a_container_lacks_is_told(relay: Relay, lacking: str) -> None:
    done = await relay.run("true", container=stays(less=lacking), check=False)
    assert (done.status, done.stdout) == (125, b"")
    assert LACKS[lacking] in done.stderr


async def test_a_container_that_has_a_network_is_not_taken(relay: Relay) -> None:
    up = 'ip link add own type veth peer name other && ip link set own up && exec "$@"'
    start = [*stays()[: stays().index(needs("setpriv"))], needs("sh"), "-c", up, "sh"]
    container = [*start, *stays()[stays().index(needs("setpriv")) :]]
    done = await relay.run("true", container=container, check=False)
    assert (done.status, done.stdout) == (125, b"")
    assert "the network is not empty" in done.stderr
    assert "--network=none" in done.stderr


async def test_the_rules_are_those_outside_and_can_be_tightened_inside(keepline: Keepline) -> None:
    async with relaying(keepline, "--allow", "server.test,two.test") as relay:
        for options, is_reached in (
            ((), True),
            (("--deny", "server.test"), False),
            (("--allow", "*.example.com"), False),
            (("--allow", "*.test", "--allow", SERVER), True),
        ):
            async with relay.talking(makes_its_own(), options) as program:
                assert await program(at.refused, SERVER, PORT) == "EHOSTUNREACH"
                if is_reached:
                    await program(at.open_connection, "server.test", PORT)
                else:
                    with pytest.raises(OSError):
                        await program(at.open_connection, "server.test", PORT)
        events = [each for events in relay.records() for each in events]
    assert any(isinstance(each, ConnectionDenied) for each in events)


async def test_a_rule_inside_that_is_none_is_told_inside(relay: Relay) -> None:
    done = await relay.run(
        "true", container=makes_its_own(), options=["--deny", "a*b"], check=False
    )
    assert done.status == 125
    assert "a*b" in done.stderr


@pytest.mark.parametrize("option", ["--proxy=off", "--gateway=off", "--host-port=80"])
async def test_what_is_for_the_relay_is_refused_inside(relay: Relay, option: str) -> None:
    done = await relay.run("true", container=makes_its_own(), options=[option], check=False)
    assert done.status == 125
    assert "is for the relay, which is outside" in done.stderr


async def test_an_outage_is_held(relay: Relay, internet: Internet) -> None:
    async with relay.talking(stays()) as program, trio.open_nursery() as nursery:
        internet.access.left.down()
        nursery.start_soon(program, at.open_connection, SERVER, PORT)
        await relay.until(lambda event: isinstance(event, DialHeld))
        internet.access.left.up()


async def test_without_its_relay_all_is_refused_until_one_has_taken_over(
    keepline: Keepline,
) -> None:
    async with relaying(keepline) as relay, relay.talking(stays()) as program:
        number = await program(at.open_connection, "server.test", PORT)
        relay.process.kill()
        relay.process.wait()
        data, _how = await program(at.receive_to_end, number)
        assert data == b""
        while (error := await program(at.refused, SERVER, PORT)) != "ECONNREFUSED":
            assert error  # it is never reached
        assert await program(at.refused, SECOND, PORT) == "ECONNREFUSED"
        with pytest.raises(socket.gaierror):
            await program(at.look_up, "server.test")
        async with relaying(keepline) as again:
            await again.until_started(sessions=2)
            number = await program(at.open_connection, "server.test", PORT)
            await program(at.send, number, b"hello")
            assert await program(at.receive, number, 5) == b"hello"
            done = await program.session.end()
    assert done.stderr == (
        "keepline: the relay was away for a time: meanwhile all connections were refused\n"
    )


async def test_a_relay_that_is_asked_to_end_ends_its_sessions(relay: Relay) -> None:
    async with relay.talking(makes_its_own()) as program:
        await program(at.open_connection, "server.test", PORT)
        assert await relay.end() == ""
        assert relay.process.returncode == 0
        assert not relay.path.exists()
        await program.session.end()
    (events,) = relay.records()
    assert isinstance(events[-1], SessionEnded)


async def test_no_relay_and_what_is_none_are_told(keepline: Keepline) -> None:
    folder = keepline.folder
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(str(folder / "stale"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(folder / "other"))
        other.listen()
        for name, told in {
            "none": "start keepline relay --socket PATH outside, and mount",
            "stale": "mount the socket's folder",
            "other": "another program listens at this one",
            "x" * 120: "name the socket of keepline relay",
        }.items():
            argv = keepline.argv("run", "--relay", str(folder / name), "--", "true")
            done = await keepline.host.run_process(argv, env=keepline.environment, check=False)
            assert done.returncode == 125
            cause, next_step = done.stderr.decode().splitlines()
            assert cause.startswith("keepline: no relay at ")
            assert told in next_step


@pytest.mark.parametrize("container", CONTAINERS)
async def test_servers_inside_are_reached_from_the_relays_host(
    relay: Relay, container: Container
) -> None:
    async with relay.talking(container()) as program:
        assert await program(ports.listen, "127.0.0.1", INSIDE) == ""
        await relay.until(lambda event: isinstance(event, Published) and event.port == INSIDE)
        async with await connect(relay.keepline.host, "127.0.0.1", INSIDE):
            assert await program(ports.has_connection, INSIDE)


@pytest.mark.parametrize("door", [TLS, HTTP], ids=["tls", "http"])
async def test_a_lost_answer_is_hidden_by_the_relays_gateway(
    internet: Internet, nursery: trio.Nursery, door: tuple[str, ...]
) -> None:
    api = await serve_api(internet, nursery)
    api.script.add(Failure(Fault.RST, Position.IN_TEXT, pause=0.2))
    asked = "/v1/messages" if door is HTTP else f"{URL}/v1/messages"
    async with relaying(keepline_of(internet, internet.authority), *door) as relay:
        done = await relay.run(*ask("node", "POST", asked), container=stays())
    (answer,) = answers(done)
    assert (answer.status, answer.text) == (200, said(version=1))
    assert done.stderr.startswith("keepline: 1 loss: 1 hidden, 0 visible. See: keepline explain ")
    assert done.stderr.endswith(" (where the relay is)\n")
