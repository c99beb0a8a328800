"""How a program is told that a proxy does not connect it, by what it has asked with."""

from typing import Final, NamedTuple

from relay.inbound.offer import Refusal
from relay.inbound.proxy import answers


class _Told(NamedTuple):
    """How one refusal is told."""

    status: int
    error: str
    """A type of RFC 9209 section 2.3."""
    reply: int
    """SOCKS5's."""


_PROHIBITED: Final = _Told(403, "destination_ip_prohibited", answers.NOT_ALLOWED)
_UNAVAILABLE: Final = "destination_unavailable"

_TOLD: Final = {
    Refusal.NO_ANSWER: _Told(504, "connection_timeout", answers.TTL_EXPIRED),
    Refusal.NETWORK_UNREACHABLE: _Told(
        502, "destination_ip_unroutable", answers.NETWORK_UNREACHABLE
    ),
    Refusal.HOST_UNREACHABLE: _Told(502, _UNAVAILABLE, answers.HOST_UNREACHABLE),
    Refusal.PROTOCOL_UNREACHABLE: _Told(502, _UNAVAILABLE, answers.GENERAL_FAILURE),
    Refusal.REFUSED: _Told(502, "connection_refused", answers.REFUSED),
    Refusal.NETWORK_PROHIBITED: _PROHIBITED,
    Refusal.HOST_PROHIBITED: _PROHIBITED,
    Refusal.PROHIBITED: _PROHIBITED,
}


def reply_to(refusal: Refusal) -> bytes:
    """Return SOCKS5's reply for a refusal."""
    return answers.reply(_TOLD[refusal].reply)


def answer_to(refusal: Refusal, why: str) -> bytes:
    """Return HTTP's whole answer for a refusal, with the cause in words."""
    told = _TOLD[refusal]
    return answers.failed(told.status, told.error, why)
