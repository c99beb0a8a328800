"""One question to one resolver over IPv4: UDP, again over TCP if truncated.

The sockets are not dns.asyncquery's: a connected UDP socket learns of "port unreachable" at once
and receives from no other sender, a wrong id is ignored and a broken answer is reported, and the
import is at least 10 ms shorter.
"""

import copy
import errno
import itertools
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import trio
from dns.message import QueryMessage

from relay.addresses import Destination
from relay.dns.framing import FrameError, Unframer, frame
from relay.dns.lookup.errors import FailureAnswerError, RejectedError, UpstreamError
from relay.record.kinds import Kind, kind_of

MAX_UDP_SIZE = 65535
RECEIVE_SIZE = 65536

_FORBIDDEN = frozenset({errno.EPERM, errno.EACCES, errno.ECONNREFUSED})
"""What send(2) reports: the host's firewall, or what ICMP said of the datagram before."""

_TOLD_BY_ICMP = frozenset(
    {
        errno.ECONNREFUSED,  # port unreachable
        errno.ENOPROTOOPT,  # protocol unreachable
        errno.EHOSTUNREACH,  # administratively prohibited
        errno.EHOSTDOWN,  # the same, of old
        errno.ENETUNREACH,
    }
)
"""What recv(2) reports of a connected UDP socket; that there is no route now is not among them."""


async def ask(server: Destination, query: QueryMessage, *, interval: float) -> QueryMessage:
    """Return the server's answer, NOERROR or NXDOMAIN, however long it takes to come.

    A datagram may be lost, so the question is sent again every `interval` seconds, with the same id
    and from the same socket: the answer to any of them will do. Raises UpstreamError, whatever the
    kernel says of the sockets: it is this question's failure and nobody else's.
    """
    try:
        answer = await _exchange(server, query, interval)
        if query.edns >= 0 and answer.rcode() in {dns.rcode.FORMERR, dns.rcode.NOTIMP}:
            answer = await _exchange(server, _without_edns(query), interval)  # RFC 6891 section 7
    except OSError as error:
        raise UpstreamError(_cause(error), kind_of(error)) from error
    except (dns.exception.DNSException, FrameError) as error:
        cause = f"malformed answer: {type(error).__name__}"
        raise UpstreamError(cause, Kind.MALFORMED) from error
    if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        cause = f"answered {dns.rcode.to_text(answer.rcode())}"
        raise FailureAnswerError(cause, Kind.NAME_FAILURE, answer.rcode())
    if _is_referral(answer):
        raise FailureAnswerError("answered with a referral", Kind.NAME_FAILURE)
    return answer


def _is_referral(answer: QueryMessage) -> bool:
    """Return whether the server neither knows the name nor asks others; judged as glibc does."""
    is_sure = answer.flags & (dns.flags.AA | dns.flags.RA)
    is_empty = not answer.answer and not answer.additional
    return answer.rcode() == dns.rcode.NOERROR and is_empty and not is_sure


def _cause(error: OSError) -> str:
    return error.strerror or str(error)


def _without_edns(query: QueryMessage) -> QueryMessage:
    plain = copy.copy(query)  # the caller's stays as it is: other servers are asked it meanwhile
    plain.use_edns(None)
    return plain


async def _exchange(server: Destination, query: QueryMessage, interval: float) -> QueryMessage:
    wires = _wires(query)
    try:
        answer = _read(await _over_udp(server, wires, interval), raise_on_truncation=True)
    except dns.message.Truncated:
        answer = _read(await _over_tcp(server, wires[0]))
    if not query.is_response(answer):
        raise UpstreamError("malformed answer: to another question", Kind.MALFORMED)
    return answer


def _wires(query: QueryMessage) -> tuple[bytes, ...]:
    """Return what is sent in turns until there is an answer.

    Some firewalls swallow what has EDNS, which libc does not use by itself. DNSSEC needs it.
    """
    is_optional = query.edns >= 0 and not query.ednsflags & dns.flags.DO
    return (query.to_wire(), *([_without_edns(query).to_wire()] if is_optional else []))


def _read(wire: bytes, *, raise_on_truncation: bool = False) -> QueryMessage:
    """Parse what has the id of our query; raises DNSException or UpstreamError."""
    message = dns.message.from_wire(
        wire, ignore_trailing=True, raise_on_truncation=raise_on_truncation
    )
    if not isinstance(message, QueryMessage):
        raise UpstreamError("malformed answer: another opcode", Kind.MALFORMED)
    return message


async def _over_udp(server: Destination, wires: tuple[bytes, ...], interval: float) -> bytes:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        with _rejected_by(_FORBIDDEN):
            await sock.connect(server)
        turns = itertools.cycle(wires)
        while True:
            wire = next(turns)
            with _rejected_by(_FORBIDDEN):
                await sock.send(wire)
            with trio.move_on_after(interval):
                return await _receive(sock, wire[:2])


async def _receive(sock: trio.socket.SocketType, number: bytes) -> bytes:
    """Return the first datagram with our query's id; another one may be an attempt to forge."""
    while True:
        with _rejected_by(_TOLD_BY_ICMP):
            answer = await sock.recv(MAX_UDP_SIZE)
        if answer[:2] == number:
            return answer


@contextmanager
def _rejected_by(numbers: Collection[int]) -> Iterator[None]:
    """Raise RejectedError for these errnos."""
    try:
        yield
    except OSError as error:
        if error.errno in numbers:
            raise RejectedError(_cause(error), kind_of(error)) from error
        raise


async def _over_tcp(server: Destination, wire: bytes) -> bytes:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_STREAM) as sock:
        await sock.connect(server)
        await _send_all(sock, frame(wire))
        unframer = Unframer()
        while data := await sock.recv(RECEIVE_SIZE):
            if answers := unframer.feed(data):
                return answers[0]
    raise UpstreamError("closed the connection without an answer", Kind.CLOSED)


async def _send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    while data:
        data = data[await sock.send(data) :]
