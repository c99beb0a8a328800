"""After a HelloRetryRequest a server takes the name in a second ClientHello: it is judged too."""

import pytest

from relay.addresses import Destination
from relay.policy.policy import Policy
from relay.tcp.inner.asked import Incomplete, Names, Other, Unreadable
from relay.tcp.inner.inspection import LIMIT, Inspection, RefusedError
from relay.tcp.inner.second_hello import MOST, read
from relay.tcp.inner.server_name import read as read_first
from tests.support.inprocess.client_hello import extension, message, real, record, vector

OWN = real("api.test")
OTHER = real("other.test")
CHANGE = record(b"\1", 20)
ALERT = record(b"\1\x5a", 21)
DATA = record(b"sealed", 23)
EARLY = record(message(extension(0, vector(2, b"\0" + vector(2, b"api.test"))) + extension(42)))


def inspection() -> Inspection:
    return Inspection(Destination("api.test", 443), Policy(allow=["api.test"]))


@pytest.mark.parametrize("between", [b"", CHANGE, ALERT + CHANGE])
def test_another_name_in_it_is_refused(between: bytes) -> None:
    with pytest.raises(RefusedError) as raised:
        inspection().received(OWN + between + OTHER, 0.0)
    assert raised.value.inner == "other.test"
    made = inspection()
    assert made.received(OWN + between, 0.0) == OWN + between
    for at in range(len(OTHER) - 1):
        assert made.received(OTHER[at : at + 1], 0.0) == b""
    with pytest.raises(RefusedError) as raised:
        made.received(OTHER[-1:], 0.0)
    assert raised.value.inner == "other.test"


def test_the_same_name_goes_on_and_then_nothing_more_is_read() -> None:
    made = inspection()
    open_after = []
    for data in (OWN, CHANGE, OWN):
        assert made.received(data, 0.0) == data
        open_after.append(made.is_open)
    assert open_after == [True, True, False]


def test_early_data_may_come_between() -> None:
    made = inspection()
    assert made.received(EARLY + DATA, 0.0) == EARLY + DATA
    with pytest.raises(RefusedError):
        made.received(DATA + OTHER, 0.0)
    made = inspection()
    made.received(EARLY, 0.0)
    open_after = []
    for _ in range(MOST // 16_389 + 1):
        made.received(record(bytes(16_384), 23), 0.0)
        open_after.append(made.is_open)
    assert all(open_after[:-1])
    assert not open_after[-1]


def test_it_has_ten_seconds_of_its_own() -> None:
    made = inspection()
    made.received(OWN, 0.0)
    before = made.deadline
    made.received(OTHER[:9], 100.0)
    assert (before, made.deadline) == (None, 100.0 + LIMIT)
    with pytest.raises(RefusedError, match="within 10 s"):
        made.received(OTHER[9:20], 110.0)


def test_urgent_bytes_before_it_are_refused() -> None:
    made = inspection()
    made.received(OWN, 0.0)
    with pytest.raises(RefusedError, match="urgent"):
        made.received(OTHER[:1], 0.0, is_urgent=True)


def test_what_follows_in_the_same_record_cannot_be_read() -> None:
    assert isinstance(read_first(record(message() + message())), Unreadable)


def test_what_is_no_second_hello_is_the_end() -> None:
    for data in (DATA, record(b"\x10"), record(b"", 20)[:3] + b"\xff\xff", b"more"):
        assert read(CHANGE + data, is_early=False) == (Other(), len(CHANGE))
    for size in range(5):
        assert read(CHANGE[:size], is_early=False) == (Incomplete(), 0)
    assert read(record(b"\1")[:5], is_early=True) == (Incomplete(), 0)
    assert read(CHANGE + record(message()), is_early=False) == (Names(), len(CHANGE))
