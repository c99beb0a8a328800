"""What a proxy's answer to a request for a connection means for the dial; pure.

A proxy that cannot reach the destination tells an upstream's fault, which is judged as if it had
been met here: by the errno where the proxy says it, else as a refusal. What it forbids is a
verdict, and so is what it does not understand: no waiting mends that.
"""

import errno
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias, assert_never

from relay.outbound import icmp
from relay.outbound.patience import DialError
from relay.record.kinds import Kind, kind_of_errno

PROXY_AUTHENTICATION_REQUIRED: Final = 407
_TIMEOUTS: Final = frozenset({408, 504})

_SQUIDS: Final = re.compile(r"(ERR_[A-Z_]+) (\d{1,3})")
"""Squid's own word for a failure, and the errno that it met: the field X-Squid-Error."""

_UNREACHABLE: Final = {
    errno.ENETUNREACH: icmp.NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: icmp.HOST_UNREACHABLE,
}
_OF_SOCKS: Final = {
    3: errno.ENETUNREACH,
    4: errno.EHOSTUNREACH,
    5: errno.ECONNREFUSED,
    6: errno.ETIMEDOUT,
}
"""Replies of RFC 1928 section 6 that have an errno; 6 is an expired TTL."""
_SOCKS_FAILED: Final = 1

_SCHEMES: Final = 8
"""Ways to authenticate that are told."""

_REASON: Final = 120
"""Characters of a proxy's own words that are told."""


@dataclass(frozen=True)
class Through:
    """The destination is reached: what follows is its own."""


@dataclass(frozen=True)
class HttpRefusal:
    """An answer with another status than 2xx, RFC 9110 section 9.3.6."""

    status: int
    reason: str
    schemes: tuple[str, ...] = ()
    """Of Proxy-Authenticate, in lower case."""
    squids: str = ""
    """What X-Squid-Error says."""


@dataclass(frozen=True)
class SocksRefusal:
    """A reply of SOCKS5 other than success, or no agreement on how to authenticate."""

    code: int | None
    message: str


@dataclass(frozen=True)
class Cut:
    """The proxy has ended the connection before it answered."""


@dataclass(frozen=True)
class NoProxy:
    """What came is not what a proxy answers."""

    message: str


Refused: TypeAlias = HttpRefusal | SocksRefusal | Cut | NoProxy
Answer: TypeAlias = Through | Refused


def failure_of(answer: Refused) -> DialError:
    """Return what a dial has met by an answer."""
    match answer:
        case HttpRefusal():
            return _of_status(answer)
        case SocksRefusal():
            return _of_reply(answer)
        case Cut():  # as a server that accepts and resets: dialled again, a few times
            return DialError("the proxy closed before it answered", Kind.CLOSED, errno.ECONNRESET)
        case NoProxy():
            cause = f"what answers is no proxy of this kind: {_shown(answer.message)}"
            return DialError(cause, Kind.MALFORMED, is_final=True)
        case _:
            assert_never(answer)


def _of_status(answer: HttpRefusal) -> DialError:
    told = f"{answer.status} {_shown(answer.reason)}".rstrip()
    if answer.status == PROXY_AUTHENTICATION_REQUIRED:
        return _unknown(told, answer.schemes)
    if answer.status in _TIMEOUTS:
        return DialError(f"the proxy had no answer: {told}", Kind.TIMEOUT, errno.ETIMEDOUT)
    if answer.status >= 500:
        return _of_upstream(told, answer.squids)
    if answer.status >= 400:
        cause = f"the proxy denies it: {told}"
        return DialError(cause, Kind.PROXY_DENIED, code=icmp.PROHIBITED, is_final=True)
    return DialError(f"the proxy answers {told}", Kind.MALFORMED, is_final=True)


def _unknown(told: str, schemes: Iterable[str]) -> DialError:
    """Return the failure of a proxy that does not take our credentials, or has got none."""
    offered = ", ".join(_shown(each) for each in islice(schemes, _SCHEMES)) or "no scheme"
    cause = f"the proxy wants credentials: {told} ({offered})"
    return DialError(cause, Kind.PROXY_CREDENTIALS, code=icmp.PROHIBITED, is_final=True)


def _of_upstream(told: str, squids: str) -> DialError:
    """Return the failure of the destination, as the proxy has met it."""
    match = _SQUIDS.match(squids)
    name, number = (match[1], int(match[2])) if match else ("", 0)
    cause = f"the proxy did not reach it: {told}"
    if name == "ERR_DNS_FAIL":
        return DialError(f"{cause}, for the name is unknown", Kind.NAME_FAILURE, is_final=True)
    return _met(number or errno.ECONNREFUSED, cause, is_known=bool(number))


def _of_reply(answer: SocksRefusal) -> DialError:
    code, message = answer.code, _shown(answer.message)
    if code is None:
        cause = f"the proxy wants other credentials: {message}"
        return DialError(cause, Kind.PROXY_CREDENTIALS, code=icmp.PROHIBITED, is_final=True)
    cause = f"the proxy did not reach it: {message}"
    if code in _OF_SOCKS or code == _SOCKS_FAILED:
        return _met(_OF_SOCKS.get(code, errno.ECONNREFUSED), cause, is_known=code in _OF_SOCKS)
    denied = f"the proxy denies it: {message}"
    return DialError(denied, Kind.PROXY_DENIED, code=icmp.PROHIBITED, is_final=True)


def _met(number: int, cause: str, *, is_known: bool) -> DialError:
    """Return a failure by the errno that the proxy has met, or would have met."""
    kind = kind_of_errno(number) if is_known else Kind.PROXY_FAILED
    told = f"{cause} ({kind})" if is_known else cause
    return DialError(told, kind, number, _UNREACHABLE.get(number))


def _shown(text: str) -> str:
    """Return some words of a proxy's, which may be anything, for people."""
    return "".join(each if each.isprintable() else "?" for each in text[:_REASON]).strip()
