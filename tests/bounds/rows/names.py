"""What is done by names: a zone that does not answer, a program that asks without end."""

from typing import Final

import dns.message

from netns.plan import OWN_ADDRESS
from tests.bounds.row import MEMORY, OTHERS, PROCESSOR, RECORD, Row
from tests.bounds.stage import Stage
from tests.support.command import program as at
from tests.support.internet.servers.zone import Trouble


async def _silent_zone(stage: Stage) -> None:
    zone, names = stage.internet.zone, [f"n{number}.slow.test" for number in range(4096)]
    for name in names:
        zone.set_trouble(name, Trouble(silent=True))
    queries = [dns.message.make_query(name, "A").to_wire() for name in names]
    local = dns.message.make_query("localhost", "A").to_wire()
    async with stage.measured():
        await stage.program(at.leave_waiting, OWN_ADDRESS, queries, local)


ROWS: Final = (
    Row(
        attacker="a zone",
        flood="does not answer 4,096 lookups of its names",
        play=_silent_zone,
        bounds={PROCESSOR: 5, MEMORY: 32, OTHERS: 4, RECORD: 200},
        meets="512 of them wait, the others have SERVFAIL at once",
        said="512 lookups of one zone are under way",
    ),
)
