"""What a container says that is wrong is refused, and told where the relay is."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from netns.network import netlink
from relay.config import Sources
from relay.remote import channel, messages, outside
from relay.remote.messages import Asked, Handover, Hello
from tests.support.pace import patience

HELLO: Final = Hello(version="0", program="hostile")
HANDOVER: Final = Handover(intercept="redirect", listeners=1, holds=False)


class Served:
    """A container's end of a connection, and what the relay says."""

    def __init__(self) -> None:
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(patience(20))
        self.said: list[str] = []

        def serve() -> None:
            with theirs:
                outside.serve(theirs, Sources(), self.said.append)

        self._thread = threading.Thread(target=serve)
        self._thread.start()

    def answer(self) -> messages.FromOutside | None:
        try:
            return messages.from_outside(channel.receive(self.sock)[0])
        except EOFError:
            return None

    def end(self) -> list[str]:
        """Wait until the relay has ended the session; return what it has said."""
        self.sock.close()
        self._thread.join()
        return self.said


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = Served()
    yield made
    made.end()


def refused(served: Served) -> messages.Refused:
    answer = served.answer()
    assert isinstance(answer, messages.Refused)
    assert answer.next_step
    assert served.answer() is None
    return answer


GARBAGE: Final = {
    "nothing that is a message": b"\x00\xff" * 40,
    "half a message": messages.encoded(HELLO)[:-7],
    "another message": messages.encoded(messages.Ended(0)),
    "as long as can be read": b"[" * messages.MOST_BYTES,
    "longer than is read": b"x" * (messages.MOST_BYTES + 1),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused(served: Served, name: str) -> None:
    served.sock.send(GARBAGE[name])
    assert "does not understand" in refused(served).cause
    assert len(served.end()) == 1


def test_another_version_is_told_which_this_one_is(served: Served) -> None:
    served.sock.send(b'{"type":"hello","protocol":2}')
    answer = refused(served)
    assert "protocol 1 of keepline" in answer.cause
    assert "container protocol 2" in answer.cause
    assert "same version" in answer.next_step


def test_a_rule_that_is_none_is_told(served: Served) -> None:
    asked = (Asked(deny=("a*b",)),)
    channel.send(served.sock, Hello(version="0", program="x", asked=asked))
    assert "the sealed container: 'a*b'" in refused(served).cause


def test_more_lists_than_can_hold_together_are_refused(served: Served) -> None:
    asked = tuple(Asked(allow=(f"host{n}.example",)) for n in range(messages.MOST_ASKED))
    channel.send(served.sock, Hello(version="0", program="x", asked=asked))
    answer = served.answer()
    if isinstance(answer, messages.Welcome):  # they are judged once the sockets are there
        channel.send(served.sock, HANDOVER)
        answer = served.answer()
    assert isinstance(answer, messages.Refused)


def test_who_leaves_early_is_forgotten(served: Served) -> None:
    assert served.end() == []


def test_who_leaves_after_the_welcome_leaves_no_record(served: Served, tmp_path: Path) -> None:
    channel.send(served.sock, HELLO)
    assert isinstance(served.answer(), messages.Welcome)
    assert served.end() == []
    assert list(tmp_path.rglob("*.jsonl")) == []


def test_who_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "HANDSHAKE", 0.05)
    made = Served()
    assert made.answer() is None
    (said,) = made.end()
    assert "nothing came from it" in said


def test_sockets_of_the_relays_own_network_are_refused(served: Served) -> None:
    channel.send(served.sock, HELLO)
    assert isinstance(served.answer(), messages.Welcome)
    made = [
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        socket.create_server(("127.0.0.1", 0)),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG),
        socket.create_server(("127.0.0.1", 0)),
    ]
    channel.send(served.sock, HANDOVER, [sock.fileno() for sock in made])
    for sock in made:
        sock.close()
    assert "of the host's network" in refused(served).cause


@pytest.mark.parametrize("message", [messages.Ended(0), HELLO])
def test_descriptors_with_another_message_are_refused(
    served: Served, message: messages.FromInside
) -> None:
    channel.send(served.sock, HELLO)
    assert isinstance(served.answer(), messages.Welcome)
    null = os.open(os.devnull, os.O_RDWR)
    channel.send(served.sock, message, [null] * 4)
    os.close(null)
    assert "another message" in refused(served).cause


def test_descriptors_with_the_first_message_are_refused(served: Served) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    channel.send(served.sock, HELLO, [null] * 200)
    os.close(null)
    assert "does not understand" in refused(served).cause
