"""A relay that answers otherwise than it should is told, and nothing runs."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from relay.remote import channel, link, messages
from relay.remote.link import Link, RelayError

HELLO: Final = messages.Hello(version="0", program="true")

Answer = Callable[[socket.socket], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.sock"


@pytest.fixture
def listener(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.bind(str(path))
        sock.listen()
        yield sock


def close(_sock: socket.socket) -> None:
    """Answer nothing."""


ANSWERS: Final[dict[str, tuple[Answer, str]]] = {
    "garbage": (lambda sock: sock.send(b"hello"), "no message of a relay"),
    "another message": (
        lambda sock: channel.send(sock, messages.Serving()),
        "another message than was waited for",
    ),
    "an end": (close, "does not answer"),
    "a refusal": (lambda sock: channel.send(sock, messages.Refused("why", "what")), "why"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_wrong_answer_is_told(path: Path, listener: socket.socket, name: str) -> None:
    answer, told = ANSWERS[name]

    def serve() -> None:
        with listener.accept()[0] as sock:
            channel.receive(sock)
            answer(sock)

    thread = threading.Thread(target=serve)
    thread.start()
    with closing(Link(path, HELLO)) as made, pytest.raises(RelayError, match=told) as caught:
        made.greet()
    thread.join()
    assert caught.value.next_step


def test_a_refusal_is_told_that_came_before_anything_was_asked(
    path: Path, listener: socket.socket
) -> None:
    with closing(Link(path, HELLO)) as made:
        with listener.accept()[0] as sock:
            channel.send(sock, messages.Refused("too many", "end some"))
        with pytest.raises(RelayError, match="too many") as caught:
            made.greet()
    assert caught.value.next_step == "end some"


def test_no_answer_is_told(
    path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HANDSHAKE", 0.05)
    with closing(Link(path, HELLO)) as made, pytest.raises(RelayError, match="timed out"):
        made.greet()


@pytest.mark.parametrize(
    ("name", "told"), [("none", "mount the folder"), ("x" * 120, "name the socket")]
)
def test_no_relay_is_told_with_what_to_do(path: Path, name: str, told: str) -> None:
    with pytest.raises(RelayError, match="no relay at") as caught:
        Link(path.with_name(name), HELLO)
    assert told in caught.value.next_step
