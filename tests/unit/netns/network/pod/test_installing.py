"""Whatever fails while rules are made, all that was made is taken away, and the cause told."""

import errno
import os
import socket
import struct
from collections.abc import Callable

import pytest

from netns.network import netlink
from netns.network.netlink import Answer
from netns.network.pod import installing, routing
from netns.network.pod.asked import Asked
from netns.network.pod.refusal import RulesError


def kind(message: bytes) -> int:
    number: int = struct.unpack_from("=H", message, 4)[0]
    return number


class Kernel:
    """Has no rules, and does what it is asked but for one thing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], Answer]) -> None:
        self.asked: list[bytes] = []
        self.refuses = ""
        self.answer = answer
        monkeypatch.setattr(netlink, "dump", lambda *_asked: [])
        monkeypatch.setattr(netlink, "ask", self.ask)
        monkeypatch.setattr(netlink, "answered", lambda _sock, batch: answer(len(batch)))

    def ask(self, _sock: socket.socket, message: bytes) -> int:
        for part in routing.wanted(Asked()):
            if str(part) == self.refuses and part.message() == message:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.asked.append(message)
        return 1

    def left(self) -> list[bytes]:
        """Return what was made and not deleted; kinds of messages that make have even numbers."""
        made = [message[16:] for message in self.asked if kind(message) % 2 == 0]
        deleted = [message[16:] for message in self.asked if kind(message) % 2]
        assert made
        return [body for body in made if body not in deleted]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer(0), "the kernel has not confirmed the nf_tables rules"),
        (Answer(0, errno.ENOENT, 2), "nf_tables: a chain of type nat, ip: No such file"),
        (Answer(0, errno.ENOENT, 0), "nf_tables: a batch: No such file"),
    ],
)
def test_rules_that_the_kernel_refuses_are_undone(
    answer: Answer, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(monkeypatch, lambda _length: answer)
    with pytest.raises(RulesError, match=cause):
        installing.install(Asked())
    assert kernel.left() == []


def test_a_call_that_fails_is_undone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_length: int) -> Answer:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    kernel = Kernel(monkeypatch, fail)
    with pytest.raises(RulesError, match="nf_tables: No buffer space"):
        installing.install(Asked())
    assert kernel.left() == []


def test_a_rule_of_routing_that_is_refused_undoes_those_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel(monkeypatch, Answer)
    kernel.refuses = "ip rule 107: from 198.18.0.1/32 lookup 15001"
    with pytest.raises(RulesError, match=f"{kernel.refuses}: Invalid argument"):
        installing.install(Asked())
    assert kernel.left() == []


def test_a_kernel_without_nf_tables_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = socket.socket

    def make(family: int, kind: int, protocol: int) -> socket.socket:
        if protocol == netlink.NETFILTER:
            raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))
        return made(family, kind, protocol)

    monkeypatch.setattr(socket, "socket", make)
    with pytest.raises(RulesError, match="netlink, nf_tables: Protocol not supported") as told:
        installing.compare(Asked())
    assert "use a kernel with nf_tables" in told.value.next_step
