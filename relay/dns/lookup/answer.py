"""What resolvers answer, read from bytes as leniently as libc reads it; pure."""

import dns.exception
import dns.flags
import dns.message
import dns.rcode
from dns.message import QueryMessage

from relay.dns.framing import HEADER_SIZE
from relay.dns.lookup.errors import UpstreamError
from relay.record.kinds import Kind

_COUNTED = 8
"""Bytes of the header before the numbers of authority and additional records."""


def read(wire: bytes, *, raise_on_truncation: bool = False) -> QueryMessage:
    """Parse a message; raises DNSException or UpstreamError.

    What stands on the way appends bytes, takes an OPT record out and leaves its count, or puts a
    second one in. libc reads header, question and answer alone, so where the whole cannot be read,
    these three have to do.
    """
    try:
        return _read(wire, raise_on_truncation=raise_on_truncation)
    except dns.message.Truncated:
        raise
    except dns.exception.DNSException:
        if len(wire) < HEADER_SIZE:
            raise
        alone = wire[:_COUNTED] + bytes(HEADER_SIZE - _COUNTED) + wire[HEADER_SIZE:]
        return _read(alone, raise_on_truncation=raise_on_truncation)


def _read(wire: bytes, *, raise_on_truncation: bool) -> QueryMessage:
    message = dns.message.from_wire(
        wire, ignore_trailing=True, raise_on_truncation=raise_on_truncation
    )
    if not isinstance(message, QueryMessage):
        raise UpstreamError("malformed answer: another opcode", Kind.MALFORMED)
    return message


def is_usable(answer: QueryMessage) -> bool:
    """Return whether it says something of the name: NOERROR or NXDOMAIN, and no referral."""
    return answer.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN} and not is_referral(answer)


def is_referral(answer: QueryMessage) -> bool:
    """Return whether the server neither knows the name nor asks others; judged as glibc does."""
    is_sure = answer.flags & (dns.flags.AA | dns.flags.RA)
    is_empty = not answer.answer and not answer.additional
    return answer.rcode() == dns.rcode.NOERROR and is_empty and not is_sure
