"""The first bytes wait for a verdict in mode allowlist, and are only looked at in mode open."""

import pytest

from relay.addresses import Destination
from relay.policy.policy import Policy, Terms
from relay.policy.verdicts import NOT_ALLOWED, Deny
from relay.tcp.inner.inspection import LIMIT, Inspection, RefusedError
from tests.support.inprocess.client_hello import real

HELLO = real("other.test")
OWN = real("api.test")
REQUEST = b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n"


class Inspected:
    """An inspection, and what it has told."""

    def __init__(
        self,
        policy: Policy | None = None,
        port: int = 443,
        host: str = "api.test",
    ) -> None:
        self.told: list[tuple[Deny, str]] = []
        policy = policy or Policy(allow=["api.test", "more.test"])
        self.inspection = Inspection(
            Destination(host, port), policy, lambda denied, inner: self.told.append((denied, inner))
        )

    def say(self, data: bytes, now: float = 0.0, *, is_urgent: bool = False) -> bytes:
        return self.inspection.received(data, now, is_urgent=is_urgent)

    def refuses(self, data: bytes, now: float = 0.0, *, is_urgent: bool = False) -> RefusedError:
        with pytest.raises(RefusedError) as raised:
            self.say(data, now, is_urgent=is_urgent)
        assert not self.inspection.is_open
        return raised.value


def test_what_asks_for_its_own_destination_or_another_that_is_allowed_goes_on() -> None:
    for name in ("api.test", "more.test", "API.test"):
        made, data = Inspected(), real(name)
        assert made.say(data) == data
        assert made.inspection.is_open, "there may be a second ClientHello"
        assert made.say(b"\x17\3\3\0\1x") == b"\x17\3\3\0\1x"
        assert not made.inspection.is_open


def test_another_name_is_refused() -> None:
    refusal = Inspected().refuses(HELLO)
    assert (refusal.inner, refusal.denied.rule) == ("other.test", NOT_ALLOWED)
    refusal = Inspected(port=80).refuses(REQUEST)
    assert refusal.inner == "other.test"


def test_nothing_goes_on_before_the_verdict_however_slowly_it_comes() -> None:
    for data, port in ((OWN, 443), (OWN, 8443), (REQUEST.replace(b"other", b"api"), 80)):
        made = Inspected(port=port)
        for size in range(1, len(data)):
            assert made.say(data[size - 1 : size]) == b""
            assert made.inspection.held == data[:size]
        assert made.say(data[-1:] + b"more") == data + b"more"
        assert not made.inspection.held


def test_ten_seconds_after_the_first_byte_it_is_too_late() -> None:
    assert Inspected().inspection.deadline is None, "an idle connection waits for nothing"
    made = Inspected()
    made.say(OWN[:10], 100.0)
    made.say(OWN[10:20], 105.0)
    assert made.inspection.deadline == 100.0 + LIMIT
    with pytest.raises(RefusedError, match="within 10 s"):
        made.inspection.is_late()
    made = Inspected()
    made.say(OWN[:10], 100.0)
    assert "within 10 s" in made.refuses(OWN[10:20], 110.0).denied.rule
    made = Inspected()
    made.inspection.is_late()
    assert made.inspection.is_open


def test_an_end_before_it_is_complete_is_refused() -> None:
    made = Inspected()
    made.inspection.ended()
    made.say(OWN[:10])
    with pytest.raises(RefusedError, match="ends before"):
        made.inspection.ended()


def test_urgent_bytes_in_the_beginning_are_refused() -> None:
    """A server may not have them in its stream: it reads another name than is read here."""
    Inspected().refuses(OWN[:1], is_urgent=True)
    made = Inspected(Policy())
    assert made.say(b"x", is_urgent=True) == b"x"


def test_what_cannot_be_read_is_refused_and_no_rule_allows_it() -> None:
    for policy in (Policy(allow=["*"]), Policy(terms=Terms(is_strict=True))):
        assert "no rule can allow it" in Inspected(policy).refuses(b"\x16\3\1\0\0").denied.rule
        assert "HTTP" in Inspected(policy, port=80).refuses(b"PRI * HTTP/2.0\r\n\r\n").denied.rule


def test_other_protocols_are_not_judged() -> None:
    for data in (b"SSH-2.0-x\r\n", b"EHLO x\r\n", REQUEST, b"\0"):
        made = Inspected()
        assert made.say(data) == data
        assert not made.inspection.is_open


def test_at_port_80_a_server_that_speaks_first_speaks_no_http() -> None:
    made = Inspected(port=80)
    made.inspection.server_speaks()
    assert made.say(b"SSH-2.0-x\r\n") == b"SSH-2.0-x\r\n"
    made = Inspected(port=80)
    made.inspection.server_speaks()
    assert made.refuses(HELLO).inner == "other.test"
    made = Inspected(port=80)
    made.say(b"GET ")
    made.inspection.server_speaks()
    assert made.refuses(REQUEST[4:]).inner == "other.test"


def test_each_name_of_a_request_is_judged() -> None:
    request = b"GET http://other.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n"
    assert Inspected(port=80).refuses(request).inner == "other.test"


def test_in_mode_open_what_a_rule_denies_is_told_and_goes_on_at_once() -> None:
    policy = Policy(deny=["other.test"])
    for data, port in ((HELLO, 443), (REQUEST, 80)):
        made = Inspected(policy, port)
        for at in range(len(data)):
            assert made.say(data[at : at + 1], 100.0 * at if at == len(data) else 0.0)
        assert made.told == [(Deny("other.test"), "other.test")]
        assert not made.inspection.is_open
        assert made.inspection.deadline is None


def test_in_mode_open_nothing_is_refused() -> None:
    for data in (b"\x16\3\1\0\0", b"PRI * HTTP/2.0\r\n\r\n", HELLO[:10]):
        made = Inspected(Policy(deny=["other.test"]), 80)
        assert made.say(data) == data
        made.inspection.ended()
        made.inspection.is_late()
        assert made.told == []


def test_a_destination_that_is_allowed_by_its_address_speaks_for_what_is_behind_it() -> None:
    made = Inspected(Policy(allow=["192.0.2.0/24"]), host="192.0.2.1")
    assert made.say(HELLO) == HELLO


V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 5 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)


@pytest.mark.parametrize("header", [V1, V2, V1 + V2, V2 + V2])
def test_a_beginning_behind_a_proxys_header_is_judged(header: bytes) -> None:
    assert Inspected().refuses(header + HELLO).inner == "other.test"
    for size in (1, 7, len(header)):
        made = Inspected()
        for at in range(0, len(header), size):
            piece = header[at : at + size]
            assert made.say(piece) == piece, "it asks for nothing, and does not wait"
        assert made.inspection.deadline is None
        made.say(HELLO[:9])
        assert made.refuses(HELLO[9:]).inner == "other.test"


def test_what_only_begins_like_a_proxys_header_goes_on() -> None:
    for pieces in ((b"P", b"ASS x\r\n"), (b"\r\n", b"\r\nhelp\r\n"), (V1 + OWN,), (V2, OWN)):
        made = Inspected()
        for piece in pieces:
            assert made.say(piece) == piece
    assert Inspected(port=80).refuses(V1 + REQUEST).inner == ""
    Inspected().refuses(b"P", is_urgent=True)
    made = Inspected(Policy(deny=["other.test"]))
    assert made.say(V1) == V1
