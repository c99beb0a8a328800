"""From an offer to a connection that is accepted, or refused: what every handler has to do."""

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import trio

from relay.inbound.offer import Offer, Refusal
from relay.outbound.door import DeniedError
from relay.outbound.opener import Opened
from relay.outbound.patience import DialError
from relay.policy.verdicts import Deny
from relay.record.events import ConnectionDenied, DialFailed, InnerDiffers, InnerSeen, Told
from relay.record.kinds import Kind, kind_of
from relay.tcp.connection import Connection
from relay.tcp.refusal import refusal_for

_ENDED: Final = "the command ended"

_T = TypeVar("_T")


async def while_wanted(connection: Connection, dial: Callable[[], Awaitable[_T]]) -> _T:
    """Return what `dial` returns; raises DialError.

    It is cancelled when the program gives its connect() up, and when the command has ended.
    Either may come in the very tick in which the dial is through. Then nothing is cancelled, but it
    counts all the same, for abort() is not called again. A dial that owns something by then is to
    release it when this raises.
    """
    shared, offer = connection.shared, connection.offer
    if shared.is_ending and not (shared.has_last_words(connection) and offer.has_words):
        raise DialError(_ENDED, Kind.SESSION_END)
    before, ended = (connection.abort, connection.leave), (_ENDED, Kind.SESSION_END)

    def give_up() -> None:
        nonlocal ended
        ended = offer.withdrawal, Kind.PROGRAM_GONE
        scope.cancel()

    try:
        with trio.CancelScope() as scope:
            offer.on_withdrawal(give_up)
            connection.abort, connection.leave = scope.cancel, lambda: offer.has_words
            outcome = await dial()
    finally:
        connection.abort, connection.leave = before
        offer.on_withdrawal(_do_nothing)
    if scope.cancel_called:
        raise DialError(*ended)
    return outcome


def _do_nothing() -> None:
    pass


async def accept(offer: Offer) -> socket.socket:
    """Have the program's connect() succeed, and return its socket; raises DialError."""
    try:
        return await offer.accept()
    except OSError as error:
        kind = Kind.PROGRAM_GONE if error.errno == errno.ECONNABORTED else kind_of(error)
        raise DialError(error.strerror or str(error), kind, error.errno or 0) from error


async def reached(connection: Connection, dial: Callable[[], Awaitable[Opened]]) -> Opened:
    """Dial while the program still wants it, have its connect() succeed, and return upstream.

    Raises DialError. Upstream is closed whatever it is that comes after its dial.
    """
    opened: Opened | None = None

    async def dial_and_accept() -> Opened:
        nonlocal opened
        opened = await dial()
        await accept(connection.offer)
        return opened

    try:
        return await while_wanted(connection, dial_and_accept)
    except BaseException:
        if opened is not None:
            opened.sock.close()
        raise


def note_denial(  # noqa: PLR0913 - what differs between the events
    connection: Connection,
    denied: Deny,
    inner: str = "",
    *,
    told: Told = "a reset",
    kind: Kind = Kind.POLICY,
    address: str = "",
) -> None:
    """Record what policy forbids: the destination, its address, or a name within the connection."""
    connection.shared.record(
        ConnectionDenied(
            connection=connection.number,
            kind=kind,
            rule=denied.rule,
            reason=denied.reason,
            told=told,
            address=address,
            inner=inner,
        )
    )


def note_difference(connection: Connection, denied: Deny, inner: str) -> None:
    """Record that a rule forbids what the program asks for within its connection; it goes on."""
    connection.shared.record(
        InnerDiffers(
            connection=connection.number,
            kind=Kind.POLICY,
            inner=inner,
            rule=denied.rule,
            reason=denied.reason,
        )
    )


def note_name(connection: Connection, inner: str) -> None:
    """Record that the program asks for another name within its connection."""
    connection.shared.record(InnerSeen(connection=connection.number, inner=inner))


def note_failure(connection: Connection, error: DialError, told: Told = "a reset") -> None:
    """Record that no upstream was reached."""
    if isinstance(error, DeniedError):
        note_denial(connection, error.denied, told=told, address=error.address)
        return
    seconds = trio.current_time() - connection.began
    connection.shared.record(
        DialFailed(
            connection=connection.number,
            kind=error.kind,
            cause=error.cause,
            seconds=seconds,
            told=told,
        )
    )


def refuse(connection: Connection, error: DialError) -> None:
    """Record it, and tell the program."""
    refusal = refusal_for(error)
    note_failure(connection, error, told(connection.offer, refusal))
    connection.offer.refuse(refusal, error.cause)


def told(offer: Offer, refusal: Refusal) -> Told:
    """Return what the program hears if its offer is refused now, for the record."""
    if not offer.is_held:
        return "a reset"
    return _TOLD.get(refusal, "unreachable")


_TOLD: Final[dict[Refusal, Told]] = {
    Refusal.REFUSED: "a refusal",
    Refusal.NO_ANSWER: "no answer",
}
