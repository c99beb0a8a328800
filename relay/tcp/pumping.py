"""A connection while it is pumped: ended from outside by its pump, and recorded at its end."""

from functools import partial

import trio

from relay.record.events import ConnectionClosed
from relay.tcp.connection import Connection
from relay.tcp.transfer.pump import Pump


async def pumped(connection: Connection, pump: Pump) -> None:
    """Copy both ways to the end, and record it."""
    pump.has_gone = partial(connection.shared.has_gone, connection.offer)
    # Until the pump has ended: a cycle of references would be left to the garbage collector.
    before = connection.abort, connection.leave, connection.delivered
    connection.abort, connection.leave = pump.abort, pump.leave
    connection.delivered = pump.delivered
    if connection.shared.is_ending:  # it was dialled meanwhile
        pump.leave()
    try:
        await pump.run(connection.shared.nursery)
    except Exception:
        connection.abort()  # of the dial, if another upstream is being dialled
        raise
    finally:
        connection.abort, connection.leave, connection.delivered = before
    connection.shared.record(_closed(connection, pump))


def _closed(connection: Connection, pump: Pump) -> ConnectionClosed:
    """Return the record of a pair that has ended."""
    ended, program, upstream = trio.current_time(), pump.program, pump.upstream
    return ConnectionClosed(
        connection=connection.number,
        by=pump.outcome.by,
        how=pump.outcome.how,
        kind=pump.outcome.kind,
        sent=program.received,
        received=upstream.received,
        seconds=ended - connection.began,
        idle=ended - max(program.last_byte, upstream.last_byte),
        waiting=program.last_byte > upstream.last_byte,
        after_fin=upstream.ended,
        cause=pump.outcome.cause,
        excuse=pump.excuse,
    )
