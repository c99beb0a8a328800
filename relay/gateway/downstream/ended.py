"""What is recorded of a program's connection when it has ended."""

import trio

from relay.gateway.downstream import connection as downstream
from relay.gateway.downstream.guests import Guest
from relay.gateway.downstream.program_stream import ProgramStream
from relay.record.events import ConnectionClosed


def ended(
    plain: ProgramStream,
    side: "downstream.Downstream | None",
    number: int,
    began: float,
    guest: Guest,
) -> ConnectionClosed:
    """Release what is kept for it; return who has ended it, and how. `side`: None before HTTP."""
    is_aborted = guest.is_sent_away
    if side is not None:
        side.body.release()
        is_aborted |= side.is_aborted
    by, how, kind, cause = plain.end(aborted=is_aborted)
    now = trio.current_time()
    return ConnectionClosed(
        connection=number,
        by=by,
        how=how,
        kind=kind,
        cause=cause,
        sent=side.received if side is not None else 0,
        received=side.sent if side is not None else 0,
        seconds=now - began,
        idle=now - side.written if side is not None else 0.0,
    )
