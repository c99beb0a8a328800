"""Who goes past the gateway: who has refused the certificate, and nobody who ever believed it."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from relay.gateway.downstream.clients import TWICE, Clients
from relay.tcp.transfer.client_hello import Fingerprint

NOBODY: Fingerprint | None = None


def program(number: int) -> Fingerprint:
    return Fingerprint((number,), frozenset(), (), (), (), b"")


AGENT, CHILD = program(1), program(2)


def test_who_says_so_goes_past_from_the_second_connection_on() -> None:
    clients = Clients()
    assert not clients.goes_past(CHILD)
    clients.has_refused(CHILD)
    assert clients.goes_past(CHILD)
    assert not clients.goes_past(AGENT)


def test_who_closes_does_so_twice_beside_one_who_believes() -> None:
    clients = Clients()
    clients.has_closed(CHILD)
    clients.has_closed(CHILD)
    assert not clients.goes_past(CHILD), "the agent may be it, and have been killed"
    clients.has_sent_data(AGENT)
    assert clients.goes_past(CHILD)
    clients = Clients()
    clients.has_sent_data(AGENT)
    clients.has_closed(CHILD)
    assert not clients.goes_past(CHILD)


def test_who_believed_before_or_after_never_does() -> None:
    clients = Clients()
    clients.has_refused(AGENT)
    clients.has_sent_data(AGENT)
    assert not clients.goes_past(AGENT)
    clients.has_refused(AGENT)
    assert not clients.goes_past(AGENT)


def test_what_cannot_be_read_never_does() -> None:
    clients = Clients()
    clients.has_refused(NOBODY)
    assert not clients.goes_past(NOBODY)
    clients.has_sent_data(NOBODY)
    assert clients.believes(NOBODY)


class Programs(RuleBasedStateMachine):
    """Programs refuse, close and believe in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clients = Clients()
        self.believing: set[int] = set()
        self.refusals: dict[int, int] = dict.fromkeys(range(4), 0)
        self.closes: dict[int, int] = dict.fromkeys(range(4), 0)

    @rule(number=st.integers(0, 3))
    def refuse(self, number: int) -> None:
        self.clients.has_refused(program(number))
        self.refusals[number] += 1

    @rule(number=st.integers(0, 3))
    def close(self, number: int) -> None:
        self.clients.has_closed(program(number))
        self.closes[number] += 1

    @rule(number=st.integers(0, 3))
    def believe(self, number: int) -> None:
        self.clients.has_sent_data(program(number))
        self.believing.add(number)

    @invariant()
    def only_who_refuses_goes_past(self) -> None:
        for number in range(4):
            closed = self.closes[number] >= TWICE and self.believing
            refused = self.refusals[number] or closed
            wanted = number not in self.believing and bool(refused)
            assert self.clients.goes_past(program(number)) is wanted


TestPrograms = Programs.TestCase
