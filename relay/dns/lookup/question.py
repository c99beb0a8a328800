"""One question to one resolver over IPv4: UDP, again over TCP if truncated, again without EDNS.

The sockets are not dns.asyncquery's: a connected UDP socket learns of "port unreachable" at once
and receives from no other sender, a wrong id is ignored and a broken answer is reported, and the
import is at least 10 ms shorter.
"""

import copy
import errno
import itertools
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import trio
from dns.message import QueryMessage

from relay.addresses import Destination
from relay.dns.framing import PAYLOAD, FrameError, Unframer, frame
from relay.dns.lookup.answer import is_referral, is_usable, read
from relay.dns.lookup.edns import EdnsMemory
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

_BROKEN = (dns.exception.DNSException, FrameError, UpstreamError)
"""How an answer that cannot be used shows itself."""


@dataclass(frozen=True, slots=True)
class How:
    """How servers are asked."""

    interval: float
    """Seconds after which a datagram is sent again, for it may be lost."""
    edns: EdnsMemory = field(default_factory=EdnsMemory)
    over_tcp: bool = False
    """Whether UDP is not tried: `options use-vc` of resolv.conf(5)."""


async def ask(server: Destination, query: QueryMessage, how: How) -> QueryMessage:
    """Return the server's answer, NOERROR or NXDOMAIN, however long it takes to come.

    The datagram is sent again with the same id and from the same socket: the answer to any of them
    will do. Raises UpstreamError, whatever the kernel says of the sockets: it is this question's
    failure and nobody else's.
    """
    try:
        answer = await _answer(server, query, how)
    except OSError as error:
        raise UpstreamError(_cause(error), kind_of(error)) from error
    except (dns.exception.DNSException, FrameError) as error:
        cause = f"malformed answer: {type(error).__name__}"
        raise UpstreamError(cause, Kind.MALFORMED) from error
    if is_referral(answer):
        raise FailureAnswerError("answered with a referral", Kind.NAME_FAILURE)
    if not is_usable(answer):
        cause = f"answered {dns.rcode.to_text(answer.rcode())}"
        raise FailureAnswerError(cause, Kind.NAME_FAILURE, answer.rcode())
    return answer


async def _answer(server: Destination, query: QueryMessage, how: How) -> QueryMessage:
    """Return an answer of any code, to the question without EDNS if that with it gets no good one.

    RFC 6891 section 7 has that second try at FORMERR and NOTIMP. Middleboxes give any other error
    too, or spoil the answer, and a resolver that means its error gives it twice.
    """
    plain = _without_edns(query)
    if query.edns < 0 or not how.edns.is_borne(server, trio.current_time()):
        return await _exchange(server, [plain], how)
    try:
        answer = await _exchange(server, _turns(query, plain), how)
        if is_usable(answer):
            return answer
    except RejectedError:
        raise
    except _BROKEN:
        pass  # the plain question's answer says what is wrong, if it is not EDNS
    answer = await _exchange(server, [plain], how)
    if is_usable(answer):
        how.edns.failed(server, trio.current_time())
    return answer


def _turns(query: QueryMessage, plain: QueryMessage) -> list[QueryMessage]:
    """Return what is sent in turns until there is an answer.

    Who asks for DNSSEC can do little without EDNS, and a datagram may be lost: it gets two tries.
    """
    return [query, query, plain] if query.ednsflags & dns.flags.DO else [query, plain]


def _cause(error: OSError) -> str:
    return error.strerror or str(error)


def _without_edns(query: QueryMessage) -> QueryMessage:
    plain = copy.copy(query)  # the caller's stays as it is: other servers are asked it meanwhile
    plain.use_edns(None)
    return plain


async def _exchange(server: Destination, turns: Sequence[QueryMessage], how: How) -> QueryMessage:
    """Return the answer to one of the queries, which have one id and one question."""
    query = turns[0]
    if how.over_tcp:
        answer = read(await _over_tcp(server, query))
    else:
        wire, sent = await _over_udp(server, turns, how.interval)
        try:
            answer = read(wire, raise_on_truncation=True)
        except dns.message.Truncated:
            answer = await _whole(server, query, how.interval)
        if query.edns >= 0:
            _note_edns(server, answer, how.edns, has_plain=turns[-1] in turns[:sent])
    if not query.is_response(answer):
        raise UpstreamError("malformed answer: to another question", Kind.MALFORMED)
    return answer


def _note_edns(
    server: Destination, answer: QueryMessage, edns: EdnsMemory, *, has_plain: bool
) -> None:
    """Note what an answer shows: one without EDNS, to either question, shows nothing by itself."""
    if answer.edns >= 0:
        edns.worked(server)
    elif has_plain and is_usable(answer):
        edns.was_silent(server, trio.current_time())


async def _whole(server: Destination, query: QueryMessage, interval: float) -> QueryMessage:
    """Return what had no room in a datagram: over TCP, or else in a larger datagram.

    Where port 53 is open for UDP alone, EDNS still makes room. It is tried when TCP has failed or
    has said nothing for `interval` seconds, and then has as long; TCP goes on meanwhile. Either
    task may end first. The first good answer cancels the other, and the nursery ends only when
    both have, so that `found` is complete. Without any, TCP's failure is the one that counts.
    """
    found: list[QueryMessage] = []
    failures: list[Exception] = []
    has_failed = trio.Event()

    async def over_tcp() -> None:
        try:
            found.append(read(await _over_tcp(server, query)))
        except (OSError, *_BROKEN) as error:
            failures.append(error)
            has_failed.set()
        else:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(over_tcp)
        with trio.move_on_after(interval):
            await has_failed.wait()
        with trio.move_on_after(interval):
            try:
                found.append(await _in_large_datagram(server, query, interval))
            except (OSError, *_BROKEN):
                pass  # TCP's outcome is the one that bare programs meet
            else:
                nursery.cancel_scope.cancel()
    if not found:
        raise failures[0]
    return found[0]


async def _in_large_datagram(
    server: Destination, query: QueryMessage, interval: float
) -> QueryMessage:
    larger = copy.copy(query)
    larger.use_edns(0, query.ednsflags, PAYLOAD)
    wire, _sent = await _over_udp(server, [larger], interval)
    return read(wire, raise_on_truncation=True)


async def _over_udp(
    server: Destination, turns: Sequence[QueryMessage], interval: float
) -> tuple[bytes, int]:
    """Return the answer, and how many datagrams had been sent."""
    wires = itertools.cycle([query.to_wire() for query in turns])
    sent = 0
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        with _rejected_by(_FORBIDDEN):
            await sock.connect(server)
        while True:
            wire = next(wires)
            with _rejected_by(_FORBIDDEN):
                await sock.send(wire)
            sent += 1
            with trio.move_on_after(interval):
                return await _receive(sock, wire[:2]), sent


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


async def _over_tcp(server: Destination, query: QueryMessage) -> bytes:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_STREAM) as sock:
        await sock.connect(server)
        await _send_all(sock, frame(query.to_wire()))
        unframer = Unframer()
        while data := await sock.recv(RECEIVE_SIZE):
            if answers := unframer.feed(data):
                return answers[0]
    raise UpstreamError("closed the connection without an answer", Kind.CLOSED)


async def _send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    while data:
        data = data[await sock.send(data) :]
