"""What a program inside does: to the record, to connections, to descriptors."""

from typing import Final

from tests.bounds.inside import floods
from tests.bounds.row import MEMORY, OTHERS, PROCESSOR, RECORD, Row
from tests.bounds.stage import Stage

_DENIED: Final = "203.0.113.66"


async def _denied_connects(stage: Stage) -> None:
    async with stage.measured():
        for _ in range(19):
            met = await stage.program(floods.connect_many, [_DENIED], 80, 500)
            assert met == {"EHOSTUNREACH": 500}, met


ROWS: Final = (
    Row(
        attacker="a program inside",
        flood="9,500 connects to an address that a rule denies",
        play=_denied_connects,
        options=("--deny", _DENIED),
        bounds={PROCESSOR: 4, MEMORY: 8, OTHERS: 4, RECORD: 60},
        meets="EHOSTUNREACH, each at once; in the record the first, second, fourth and so on",
        said="denied: 203.0.113.66; the program saw unreachable; 8192 times so far",
    ),
)
