"""`keepline sidecar ready`: a status for a probe, a line for people."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.sidecar import ready

READY = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nready\n"
NOT_READY = b"HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: the rules are gone\n"


@contextmanager
def answering(monkeypatch: pytest.MonkeyPatch, *answers: bytes) -> Iterator[list[bytes]]:
    """Answer one request after the other."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(ready, "END", listener.getsockname())

        def serve() -> None:
            for answer in answers:
                with listener.accept()[0] as sock:
                    asked.append(sock.recv(1000))
                    sock.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield asked
        thread.join()


def test_it_is_ready(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(monkeypatch, READY) as asked:
        assert ready.main([]) == 0
    assert capsys.readouterr().out == "ready\n"
    assert asked[0].startswith(b"GET /ready HTTP/1.1\r\n")


def test_it_is_not_ready(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(monkeypatch, NOT_READY):
        assert ready.main([]) == 1
    assert capsys.readouterr().out == "not ready: the rules are gone\n"


def test_it_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(monkeypatch, NOT_READY, NOT_READY, READY) as asked:
        assert ready.main(["--wait", "60"]) == 0
    assert len(asked) == 3


def test_nobody_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(monkeypatch):
        pass
    assert ready.main([]) == 1
    assert capsys.readouterr().out.startswith("not ready: nobody answers at port 15020: ")


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n"])
def test_what_says_nothing_is_not_a_relay(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    with answering(monkeypatch, answer):
        told = ready.asked()
    assert told == (False, "not ready: what answers at port 15020 is not a relay")


@pytest.mark.parametrize("seconds", ["nan", "-1", "soon"])
def test_a_time_that_is_none_is_a_mistake(seconds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        ready.main([f"--wait={seconds}"])
    assert ended.value.code == 125


def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(monkeypatch, READY + b"x" * 300_000):
        is_ready, told = ready.asked()
    assert is_ready
    assert len(told) < 200_000
