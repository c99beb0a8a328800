"""A pod's relay: all connections of its programs are relayed, and it needs no privilege for it."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.message
import pytest
import trio

from netns.network.pod import DNS_PORT
from relay.record.events import (
    AskedAgain,
    ConnectionClosed,
    ConnectionOpened,
    DialHeld,
    RulesLacking,
    RulesStand,
    SessionEnded,
)
from relay.record.metrics import METRICS, Metrics
from tests.support.command.asking import HOSTS, URL, serve_api
from tests.support.command.keepline import Keepline, Session
from tests.support.command.pod import Pod
from tests.support.command.pod_relay import VOLUME, PodRelay
from tests.support.command.programs import needs
from tests.support.counted import counted
from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.world import GATEWAY, SERVER, SERVER_V6, Internet
from tests.support.pace import patience

PIPES: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | {"bufsize": 0}


@pytest.fixture
async def relay(internet: Internet, nursery: trio.Nursery) -> AsyncIterator[PodRelay]:
    """Yield the relay of a pod with rules; a server outside says hello, another one echoes."""

    async def hello(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"hello")

    async def echo(stream: trio.abc.Stream) -> None:
        while data := await stream.receive_some():
            await stream.send_all(data)

    await nursery.start(serve, hello, listen(internet.server, SERVER, 80))
    await nursery.start(serve, echo, listen(internet.server, SERVER, 7))
    pod = Pod(internet)
    await pod.rules()
    yield PodRelay(pod)
    await pod.rules("--remove")


def status_of(pid: int) -> dict[str, str]:
    """Return the fields of a process's status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


async def looked_up(relay: PodRelay, name: str) -> str:
    """Return the address that a program of the pod gets for a name, by libc."""
    done = await relay.host.run_process(["getent", "ahostsv4", name])
    return done.stdout.decode().split()[0]


async def test_without_rules_it_serves_and_is_not_ready(internet: Internet) -> None:
    """Also for a user who is nobody special: it asks for no privilege."""
    keepline = Keepline(internet)
    state, uid = keepline.folder / "volume", str(os.getuid())
    argv = keepline.argv("sidecar", "relay", "--uid", uid, "--state", str(state))
    process = keepline.host.popen(argv, env=keepline.environment, umask=0, **PIPES)
    session = Session(process, state / "keepline/sessions")
    try:
        assert "not there" in (await session.until(RulesLacking)).cause
        status = await keepline.call("sidecar", "ready")
        assert status.status == 1
        assert b"not ready: the rules of routing are not there" in status.stdout
        question = dns.message.make_query("server.test", "A")
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with keepline.host:
                sock = trio.socket.socket(family, socket.SOCK_DGRAM)
            with trio.fail_after(patience(30)), sock:
                await sock.connect((address, DNS_PORT))
                await sock.send(question.to_wire())
                answer = dns.message.from_wire(await sock.recv(512))
            assert str(answer.answer[0][0]).startswith("198.1")
        process.send_signal(signal.SIGTERM)
        done = await session.end()
    finally:
        process.kill()
    assert (done.status, done.stderr) == (0, "")
    assert done.only(SessionEnded).status == 0
    assert (state / "keepline/names").read_bytes().count(b" server.test\n") == 1


async def test_it_goes_on_without_what_it_cannot_keep(internet: Internet) -> None:
    keepline = Keepline(internet)
    state = keepline.folder / "volume"
    (state / "keepline/names").mkdir(parents=True)
    argv = keepline.argv(
        *("sidecar", "relay", "--uid", str(os.getuid()), "--state", str(state)),
        *("--drain-seconds", "0", "--otlp", "http://127.0.0.1:1/v1/metrics"),
    )
    process = keepline.host.popen(argv, env=keepline.environment, **PIPES)
    session = Session(process, state / "keepline/sessions")
    try:
        await session.until(RulesLacking)
        second = await keepline.call(*argv[argv.index("sidecar") :])
        assert second.status == 125
        assert "port 15001 of 127.0.0.1 is taken" in second.stderr
        process.send_signal(signal.SIGTERM)
        done = await session.end()
        assert done.status == 0
        assert "names are not kept" in done.stderr
        argv[argv.index(str(state))] = "/proc/1/no such volume"
        process = keepline.host.popen(argv, env=keepline.environment, **PIPES)
        said = [await Session(process, state).readline_of_stderr() for _ in range(2)]
        assert b"no record: " in said[0]
        assert b"names are not kept, " in said[1]
        process.send_signal(signal.SIGTERM)
        assert (await Session(process, state).end()).status == 0
    finally:
        process.kill()


if os.getuid() == 0:

    async def test_it_relays_without_a_privilege_and_keeps_names(relay: PodRelay) -> None:
        async with relay.running() as session:
            status = status_of(session.pid)
            assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "0" * 16
            assert status["NoNewPrivs"] == "1"
            assert status["Uid"].split() == ["1337"] * 4
            address = await looked_up(relay, "server.test")
            assert address.startswith("198.1")
            tried = {f"tcp {address} 80": "hello", f"tcp {SERVER} 80": "hello"}
            assert await relay.pod.asked(*tried) == list(tried.values())
            assert "hello" not in await relay.pod.asked(f"tcp {SERVER_V6} 80")
            opened = await session.until(ConnectionOpened)
            assert (opened.address, opened.name) == (address, "server.test")
            session.process.kill()
            session.process.wait()
            assert await relay.pod.asked(f"tcp {address} 80") == ["ECONNREFUSED"]
        async with relay.running() as session:
            assert await relay.pod.asked(f"tcp {address} 80") == ["hello"]
            assert (await session.until(ConnectionOpened)).name == "server.test"
            held = await relay.call("status", "--sidecar", "--state", VOLUME)
            assert held.status == 0
            assert held.stdout.startswith(b"ready\n")
            assert f"sidecar (pid {session.pid})".encode() in held.stdout
            told = await relay.call("explain", "--state", VOLUME)
            assert b"session" in told.stdout.splitlines()[0]
            assert told.stdout.endswith(b"Nothing was lost.\n"), told

    async def test_it_is_ready_while_the_rules_stand(relay: PodRelay) -> None:
        async with relay.running() as session:
            assert (await relay.get("/live")).startswith("HTTP/1.1 200 ")
            await session.until(RulesStand)
            await relay.pod.shell("nft delete table ip keepline_pod")
            answer = await relay.get("/ready")
            assert answer.startswith("HTTP/1.1 503 "), answer
            assert "not redirected" in answer
            assert (await relay.call("sidecar", "ready")).status == 1
            assert "not redirected" in (await session.until(RulesLacking)).cause
            await relay.pod.rules()
            assert (await relay.get("/ready")).startswith("HTTP/1.1 200 ")
            await relay.pod.shell("ip rule del pref 109 ipproto tcp")
            await session.until(RulesLacking, lambda event: "routing" in event.cause)
            assert "rules of routing are not there" in await relay.get("/ready")
        status = await relay.call("status", "--sidecar", "--state", VOLUME)
        assert status.status == 1
        assert b"nobody answers at port 15020" in status.stdout

    async def test_a_lost_route_is_held_and_the_second_signal_ends_at_once(
        relay: PodRelay, nursery: trio.Nursery
    ) -> None:
        async with relay.running() as session:
            address = await looked_up(relay, "server.test")
            await relay.pod.shell("ip route del default")
            asked: list[list[str]] = []

            async def ask() -> None:
                asked.append(await relay.pod.asked(f"tcp {address} 80"))

            async with trio.open_nursery() as asking:
                asking.start_soon(ask)
                await session.until(DialHeld)
                await relay.pod.shell(f"ip route add default via {GATEWAY}")
            assert asked == [["hello"]]
            async with relay.pod.program(f"hold {SERVER} 7"):
                session.process.send_signal(signal.SIGTERM)
                with trio.fail_after(patience(30)):
                    while "it is ending" not in await relay.get("/ready"):  # noqa: ASYNC110
                        await trio.sleep(0.01)
                session.process.send_signal(signal.SIGTERM)
                assert (await session.end(checks=False)).status == 0

    async def test_sigterm_drains_it(relay: PodRelay) -> None:
        async with relay.running() as session, relay.pod.program(f"hold {SERVER} 7") as program:
            assert await program.answer("before") == "before"
            session.process.send_signal(signal.SIGTERM)
            with trio.fail_after(30):
                while "it is ending" not in await relay.get("/ready"):  # noqa: ASYNC110
                    await trio.sleep(0.01)
            assert await program.answer("while it drains") == "while it drains"
            assert await relay.pod.asked(f"tcp {SERVER} 80") == ["hello"]
            assert session.process.poll() is None
            program.end()
            done = await session.end(checks=False)
            assert (done.status, done.stderr) == (0, "")
            assert done.only(SessionEnded).connections == 2
            assert {closed.how for closed in done.all(ConnectionClosed)} == {"fin"}

    async def test_the_metrics_are_what_the_record_has(relay: PodRelay) -> None:
        async with relay.running("--deny", "203.0.113.11", "--patience", "1") as session:
            await looked_up(relay, "server.test")
            await relay.host.run_process(["getent", "ahostsv4", "none.test"], check=False)
            asks = [f"tcp {SERVER} 80", f"tcp {SERVER} 81", "tcp 203.0.113.11 80"] * 4
            await relay.pod.asked(*asks)
            with trio.fail_after(30):
                while (live := await relay.metrics())["keepline_tcp_connections_open",]:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            session.process.send_signal(signal.SIGTERM)
            done = await session.end(checks=False)
        assert len(done.all(ConnectionClosed)) == 4
        read = Metrics()
        for event, times in counted(done.events):
            read.note(event, times)
        ending = {"counter": "_total", "gauge": "", "summary": "_count"}
        found = {
            (metric.name + ending[metric.type], *labels): value
            for metric in METRICS
            for labels, value in read.of(metric)
        }
        assert {key: live.get(key) for key in found} == found
        assert found["keepline_tcp_connections_failed_total", "refused"] == 4
        assert found["keepline_tcp_connections_denied_total", "policy"] == 4

    @pytest.mark.parametrize("mode", ["http", "tls"])
    async def test_its_gateway_is_told_of_by_a_volume(
        relay: PodRelay, internet: Internet, nursery: trio.Nursery, mode: str
    ) -> None:
        api = await serve_api(internet, nursery)
        api.script.add(Failure(Fault.RST))
        shutil.copy(internet.authority.file, relay.volume / "roots.pem")
        (relay.volume / "roots.pem").chmod(0o644)
        relay.environment = {"SSL_CERT_FILE": f"{VOLUME}/roots.pem"}
        options = (f"--gateway={mode}", HOSTS, "--gateway-dir", f"{VOLUME}/shared")
        async with relay.running(*options) as session:
            shared = relay.volume / "shared/keepline"
            variables = dict(
                line.split("=", 1) for line in (shared / "keepline.env").read_text().splitlines()
            )
            if mode == "http":
                assert variables == {"ANTHROPIC_BASE_URL": "http://127.0.0.1:4430"}
                asks = [f"{variables['ANTHROPIC_BASE_URL']}/v1/models"]
            else:
                named = f"{VOLUME}/shared/keepline/keepline-ca.pem"
                assert variables == {"NODE_EXTRA_CA_CERTS": named}
                asks = ["--cacert", str(shared / "keepline-ca.pem"), f"{URL}/v1/models"]
            assert {file.stat().st_mode & 0o777 for file in shared.iterdir()} == {0o644}
            done = await relay.host.run_process([needs("curl"), "-sS", *asks])
            assert done.stdout.startswith(b"{"), done
            assert (await session.until(AskedAgain)).resends == 1
            assert (await relay.metrics())["keepline_gateway_resends_total", "reset"] == 1
            session.process.send_signal(signal.SIGTERM)
            session.process.send_signal(signal.SIGINT)
            await session.end(checks=False)
        assert list(shared.iterdir()) == []
