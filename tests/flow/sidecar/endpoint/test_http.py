"""The HTTP endpoint: what probes and Prometheus ask is answered, and nothing else ends it."""

import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from relay.record import events
from relay.record.events import Event
from relay.record.metrics import METRICS, Metrics
from relay.sidecar.endpoint import http
from relay.sidecar.endpoint.http import Endpoint
from relay.sidecar.rules_watch import RulesWatch
from tests.support.pace import patience


class Rules(RulesWatch):
    """Rules that stand, or do not."""

    says = ""

    async def look(self) -> str:
        await trio.lowlevel.checkpoint()
        return self.says


class Served:
    """An endpoint that runs."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.events: list[Event] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.rules = Rules("198.18.0.1", self.events.append)
        self.metrics, self.is_ending = Metrics(), False
        self.endpoint = Endpoint(
            self.listener, self.rules, self.metrics, self.events.append, lambda: self.is_ending
        )
        nursery.start_soon(self.endpoint.serve)

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(*self.listener.getsockname())

    async def says(self, request: bytes) -> tuple[str, bytes]:
        """Return the head and the body of an answer."""
        async with await self.connect() as stream:
            await stream.send_all(request)
            with trio.fail_after(patience(10)):
                answer = b""
                while piece := await stream.receive_some():
                    answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return head.decode(), body

    async def get(self, path: str) -> tuple[str, bytes]:
        head, body = await self.says(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return head.splitlines()[0], body


@pytest.fixture
async def served(nursery: trio.Nursery) -> AsyncIterator[Served]:
    made = Served(nursery)
    yield made
    nursery.cancel_scope.cancel()
    made.listener.close()


async def test_it_is_ready_where_the_rules_stand(served: Served) -> None:
    assert await served.get("/ready") == ("HTTP/1.1 200 OK", b"ready\n")
    served.rules.says = "the rules are gone"
    line = "HTTP/1.1 503 Service Unavailable"
    assert await served.get("/ready?verbose") == (line, b"not ready: the rules are gone\n")
    assert await served.get("/live") == ("HTTP/1.1 200 OK", b"live\n")


async def test_it_is_not_ready_while_it_drains(served: Served) -> None:
    served.is_ending = True
    line, body = await served.get("/ready")
    assert line == "HTTP/1.1 503 Service Unavailable"
    assert body == b"not ready: it is ending\n"
    assert (await served.get("/live"))[0] == "HTTP/1.1 200 OK"


async def test_the_metrics_are_text_that_prometheus_reads(served: Served) -> None:
    served.metrics.note(events.ConnectionOpened(connection=1, address="1.2.3.4", port=443))
    served.metrics.note(events.Dialled(connection=1, address="1.2.3.4", seconds=0.5))
    served.metrics.note(
        events.ConnectionClosed(
            connection=1, by="upstream", how="reset", sent=7, received=8, seconds=1, idle=0
        )
    )
    head, body = await served.says(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert "openmetrics-text" in head
    read: Any = text_string_to_metric_families
    families = {each.name: each for each in read(body.decode())}
    assert set(families) == {"keepline_build_info", *(metric.name for metric in METRICS)}
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["keepline_tcp_connections_opened_total",] == 1
    assert values["keepline_tcp_connections_closed_total", "reset", "upstream"] == 1
    assert values["keepline_tcp_sent_bytes_total",] == 7
    assert values["keepline_tcp_connect_duration_seconds_sum",] == 0.5
    assert values["keepline_losses_total", "unknown", "visible"] == 1


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        (b"POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405"),
        (b"GET /ready HTTP/1.1\r\n\r\n", "400"),
        (b"\x16\x03\x01 no HTTP at all\r\n\r\n", "400"),
        (b"GET /ready HTTP/1.1\r\nHost: ".ljust(5 * 4096, b"x"), "431"),
    ],
)
async def test_what_is_not_asked_for_here_is_answered_too(
    served: Served, request_: bytes, status: str
) -> None:
    head, _body = await served.says(request_)
    assert head.split()[1] == status
    assert (await served.get("/live"))[0] == "HTTP/1.1 200 OK"
    assert served.events == []


async def test_a_head_is_asked_for_alone(served: Served) -> None:
    head, body = await served.says(b"HEAD /ready HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (head.splitlines()[0], body) == ("HTTP/1.1 200 OK", b"")


async def breaks_off(stream: trio.SocketStream) -> None:
    await stream.send_all(b"GET /rea")


async def closes(stream: trio.SocketStream) -> None:
    await trio.lowlevel.checkpoint()


async def resets(stream: trio.SocketStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")


@pytest.mark.parametrize("ends", [breaks_off, closes, resets])
async def test_whoever_breaks_off_ends_no_other(
    served: Served, ends: Callable[[trio.SocketStream], object]
) -> None:
    async with await served.connect() as stream:
        await ends(stream)  # type: ignore[misc]
    assert (await served.get("/live"))[0] == "HTTP/1.1 200 OK"
    assert served.events == []


async def test_whoever_is_gone_before_the_answer_ends_no_other(served: Served) -> None:
    asked, gone = trio.Event(), trio.Event()

    async def look() -> str:
        asked.set()
        await gone.wait()
        return ""

    served.rules.look = look  # type: ignore[method-assign]
    async with await served.connect() as stream:
        await stream.send_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        await asked.wait()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    gone.set()
    assert (await served.get("/live"))[0] == "HTTP/1.1 200 OK"
    assert served.events == []


async def test_whoever_resets_before_it_is_read_ends_no_other(served: Served) -> None:
    with socket.create_connection(served.listener.getsockname()) as sock:
        sock.sendall(b"GET /live HTTP/1.1\r\n")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert (await served.get("/live"))[0] == "HTTP/1.1 200 OK"
    assert served.events == []


async def test_those_who_say_nothing_keep_no_probe_away(served: Served) -> None:
    silent = [await served.connect() for _ in range(3 * http.MOST)]
    await trio.testing.wait_all_tasks_blocked()
    assert await served.get("/ready") == ("HTTP/1.1 200 OK", b"ready\n")
    with trio.fail_after(patience(10)):
        assert await silent[0].receive_some() == b"", "the oldest is broken off"
    for each in silent:
        await each.aclose()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert (await served.get("/live"))[0] == "HTTP/1.1 200 OK"
    assert served.events == []


async def test_a_request_has_its_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SECONDS", 0.0)
    async with await served.connect() as stream:
        with trio.fail_after(patience(10)):
            assert await stream.receive_some() == b""
