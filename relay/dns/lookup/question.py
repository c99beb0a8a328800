"""One question to one resolver over IPv4: UDP, again over TCP if truncated.

Sockets of our own rather than dns.asyncquery's: a connected UDP socket hears of "port unreachable"
at once and of no other sender, a wrong id is ignored and a broken answer reported, and the import
is 10 ms or more shorter.
"""

import copy
import errno
from typing import NamedTuple

import dns.exception
import dns.message
import dns.rcode
import trio

from relay.dns.framing import FrameError, Unframer, frame
from relay.record.kinds import CausedError, Kind, of

DNS_PORT = 53
MAX_UDP_SIZE = 65535
RECEIVE_SIZE = 65536

NETWORK_ERRORS = frozenset(
    {
        errno.ECONNREFUSED,  # ICMP port unreachable, or RST
        errno.ECONNRESET,
        errno.EPIPE,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ETIMEDOUT,
        errno.EADDRNOTAVAIL,  # our address went away, or all ports are in use
        errno.EACCES,  # the host's firewall, or a broadcast address in resolv.conf
        errno.EPERM,  # the host's firewall
        errno.EMFILE,  # too busy: this query fails, the relay goes on
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
    }
)


class Server(NamedTuple):
    """A resolver's IPv4 address and port."""

    address: str
    port: int = DNS_PORT

    def __str__(self) -> str:
        """Write it as people do: the port only if it is unusual."""
        return self.address if self.port == DNS_PORT else f"{self.address}:{self.port}"


class UpstreamError(CausedError):
    """The server gave no usable answer."""


class FailureAnswerError(UpstreamError):
    """The server is there, but says that it could not find the answer: SERVFAIL and the like."""


async def ask(
    server: Server, query: dns.message.QueryMessage, *, resend: float
) -> dns.message.QueryMessage:
    """Give the server's answer, NOERROR or NXDOMAIN; waits for it for as long as it takes.

    A datagram may be lost, so it is sent again every `resend` seconds. Raises UpstreamError.
    """
    try:
        answer = await _exchange(server, query, resend)
        if query.edns >= 0 and answer.rcode() in {dns.rcode.FORMERR, dns.rcode.NOTIMP}:
            answer = await _exchange(server, _without_edns(query), resend)  # RFC 6891 section 7
    except OSError as error:
        if error.errno not in NETWORK_ERRORS:
            raise
        cause = error.strerror or errno.errorcode[error.errno]
        raise UpstreamError(cause, of(error)) from error
    except (dns.exception.DNSException, FrameError) as error:
        cause = f"malformed answer: {type(error).__name__}"
        raise UpstreamError(cause, Kind.MALFORMED) from error
    if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        cause = f"answered {dns.rcode.to_text(answer.rcode())}"
        raise FailureAnswerError(cause, Kind.NAME_FAILURE)
    return answer


def _without_edns(query: dns.message.QueryMessage) -> dns.message.QueryMessage:
    plain = copy.copy(query)
    plain.use_edns(None)
    return plain


async def _exchange(
    server: Server, query: dns.message.QueryMessage, resend: float
) -> dns.message.QueryMessage:
    wire = query.to_wire()
    try:
        answer = _read(await _over_udp(server, wire, resend), raise_on_truncation=True)
    except dns.message.Truncated:
        answer = _read(await _over_tcp(server, wire))
    if not query.is_response(answer):
        raise UpstreamError("malformed answer: to another question", Kind.MALFORMED)
    return answer


def _read(wire: bytes, *, raise_on_truncation: bool = False) -> dns.message.QueryMessage:
    """Read what the id calls an answer to our query; raises DNSException."""
    message = dns.message.from_wire(
        wire, ignore_trailing=True, raise_on_truncation=raise_on_truncation
    )
    if not isinstance(message, dns.message.QueryMessage):
        raise UpstreamError("malformed answer: another opcode", Kind.MALFORMED)
    return message


async def _over_udp(server: Server, wire: bytes, resend: float) -> bytes:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.connect(server)
        while True:
            await sock.send(wire)
            with trio.move_on_after(resend):
                return await _receive(sock, wire[:2])


async def _receive(sock: trio.socket.SocketType, number: bytes) -> bytes:
    """Wait for a datagram with our query's id; any other is a guess of somebody else's."""
    while True:
        answer = await sock.recv(MAX_UDP_SIZE)
        if answer[:2] == number:
            return answer


async def _over_tcp(server: Server, wire: bytes) -> bytes:
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
