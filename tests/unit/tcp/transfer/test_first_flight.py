"""The replay rule: one test for each way in which a replay would be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from relay.tcp.transfer.first_flight import LIMIT, TRIES, FirstFlight, is_client_hello
from tests.support.inprocess import client_hello as hello

REAL = hello.real()


def flight(*pieces: bytes) -> FirstFlight:
    made = FirstFlight()
    for piece in pieces:
        made.program_sent(piece)
    return made


@pytest.mark.parametrize(
    "data",
    [
        REAL,
        hello.real(tls12=True),
        hello.record(hello.message()),
        hello.record(hello.message(extensions=None)),
        hello.record(hello.message(hello.extension(0) + hello.extension(16, b"\0\x03\x02h2"))),
    ],
    ids=["tls13", "tls12", "empty extensions", "no extensions", "two extensions"],
)
def test_one_whole_client_hello_is_replayed(data: bytes) -> None:
    assert is_client_hello(data)
    assert flight(data).claim_replay(reset=True)
    assert flight(data).claim_replay(reset=False)


def test_it_may_span_several_records() -> None:
    message = REAL[5:]
    split = b"".join(hello.record(message[at : at + 50]) for at in range(0, len(message), 50))
    assert is_client_hello(split)


def test_it_may_arrive_byte_by_byte() -> None:
    state = FirstFlight()
    for at in range(len(REAL)):
        assert not state.may_replay
        state.program_sent(REAL[at : at + 1])
    assert state.may_replay
    assert state.sent == REAL


def test_not_after_upstream_has_answered() -> None:
    state = flight(REAL)
    state.close()
    assert not state.claim_replay(reset=True)
    assert not state.is_open
    state.program_sent(b"more")
    assert state.sent == b""


def test_not_more_than_three_times() -> None:
    state = flight(REAL)
    assert [state.claim_replay(reset=True) for _ in range(TRIES + 1)] == [True, True, True, False]


@pytest.mark.parametrize(
    "data",
    [
        REAL + b"\x17\x03\x03\x00\x01x",
        REAL + REAL,
        REAL[:-1],
        hello.record(hello.message(hello.extension(42))),
        hello.record(hello.message(hello.extension(0) + hello.extension(42))),
        hello.record(hello.message(kind=2)),
        hello.record(hello.message(tail=b"x")),
        hello.record(hello.message(extensions=None, tail=b"\0")),
        hello.record(hello.message() + hello.message()),
        hello.record(hello.message(), kind=23),
        hello.record(hello.message(), major=2),
        hello.record(b"") + hello.record(hello.message()),
        hello.record(hello.message()[:3]),
        hello.record(hello.message()[:20]),
        hello.record(b"\x01\0\0\x05\x03\x03\0\0\0"),
        b"GET / HTTP/1.1\r\nHost: server.test\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x80\x2e\x01\x03\x01",
        b"\x16",
    ],
    ids=[
        "a record after it",
        "two of them",
        "cut short",
        "early data alone",
        "early data among others",
        "another handshake message",
        "bytes after the extensions",
        "a broken extensions block",
        "another message in the record",
        "application data",
        "not TLS 1.x",
        "an empty record",
        "a cut header",
        "a cut body",
        "a body too short for its fields",
        "HTTP",
        "SSH",
        "SSLv2",
        "one byte",
    ],
)
def test_nothing_else_is_replayed(data: bytes) -> None:
    assert not is_client_hello(data)
    assert not flight(data).claim_replay(reset=True)
    assert not flight(data).claim_replay(reset=False)


def test_not_beyond_the_limit() -> None:
    padded = hello.record(hello.message(hello.extension(21, bytes(LIMIT - 100))))
    assert flight(padded).claim_replay(reset=True)
    longer = hello.message(hello.extension(21, bytes(LIMIT)))
    split = b"".join(hello.record(longer[at : at + 9000]) for at in range(0, len(longer), 9000))
    assert is_client_hello(split)
    assert not flight(split).claim_replay(reset=True)


def test_a_reset_before_the_first_word_is_dialled_again_and_a_fin_is_not() -> None:
    assert FirstFlight().claim_replay(reset=True)
    assert not FirstFlight().claim_replay(reset=False)


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    is_client_hello(data)


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255))
def test_a_changed_byte_never_crashes_the_judge(at: int, value: int) -> None:
    is_client_hello(REAL[:at] + bytes([value]) + REAL[at + 1 :])


@given(st.integers(0, len(REAL) - 1))
def test_no_part_of_it_passes_for_the_whole(length: int) -> None:
    assert not is_client_hello(REAL[:length])


class Flights(RuleBasedStateMachine):
    """Whatever happens in whatever order, a replay is only ever of one ClientHello, unanswered."""

    @initialize()
    def begin(self) -> None:
        self.flight = FirstFlight()
        self.written = b""
        self.answered = False
        self.replays = 0

    @rule(cut=st.integers(1, len(REAL)))
    def program_sends_hello_in_pieces(self, cut: int) -> None:
        for piece in (REAL[:cut], REAL[cut:]):
            self.flight.program_sent(piece)
            self.written += piece

    @rule(data=st.binary(min_size=1, max_size=20))
    def program_sends_anything(self, data: bytes) -> None:
        self.flight.program_sent(data)
        self.written += data

    @precondition(lambda self: not self.answered)
    @rule()
    def upstream_answers(self) -> None:
        self.flight.close()
        self.answered = True

    @rule(reset=st.booleans())
    def upstream_is_lost(self, reset: bool) -> None:
        replayed = self.flight.claim_replay(reset=reset)
        right = self.written == REAL or (reset and not self.written)
        assert replayed == (right and not self.answered and self.replays < TRIES)
        self.replays += replayed

    @invariant()
    def what_is_kept_is_what_was_sent(self) -> None:
        if hasattr(self, "flight") and self.flight.is_open:
            assert self.flight.sent == self.written


TestFlights = Flights.TestCase


def test_its_end_is_told_once_with_what_was_sent() -> None:
    told: list[bytes] = []
    made = FirstFlight(on_end=told.append)
    made.program_sent(b"hello")
    made.close()
    made.close()
    made.program_sent(b"more")
    assert told == [b"hello"]
    long = FirstFlight(on_end=told.append)
    long.program_sent(bytes(LIMIT + 1))
    assert told[1:] == [bytes(LIMIT + 1)]
