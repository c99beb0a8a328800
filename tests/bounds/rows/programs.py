"""What a program inside does: to the record, to connections, to descriptors."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from tests.bounds.inside import floods
from tests.bounds.row import DESCRIPTORS, MEMORY, OTHERS, PROCESSOR, RECORD, Row
from tests.bounds.stage import Stage

_DENIED: Final = "203.0.113.66"


async def _denied_connects(stage: Stage) -> None:
    async with stage.measured():
        for _ in range(19):
            met = await stage.program(floods.connect_many, [_DENIED], 80, 500)
            assert met == {"EHOSTUNREACH": 500}, met


async def _silent_connects(
    stage: Stage, addresses: list[str], first_ports: Sequence[int] = (443,) * 10, ports: int = 1
) -> None:
    await stage.program(floods.allow_descriptors, 16_000)
    async with stage.measured():
        for port in first_ports:
            met = await stage.program(floods.connect_many, addresses, port, 1000, ports)
            assert set(met) <= {"pending", "EHOSTUNREACH"}, met
        stage.look()
        await stage.program(floods.close_all)


_SILENT: Final = "198.51.100.1"
_SILENT_NETWORK: Final = [f"198.51.100.{number}" for number in range(1, 255)]
_PENDING: Final = "they are pending, as without keepline, until the program or its kernel gives up"

ROWS: Final = (
    Row(
        attacker="a program inside",
        flood="10,000 connects at once to one address that does not answer",
        play=partial(_silent_connects, addresses=[_SILENT]),
        bounds={PROCESSOR: 8, MEMORY: 48, DESCRIPTORS: 64, OTHERS: 2},
        meets=_PENDING,
        said=f"connect() to {_SILENT}:443 is to wait: too many are pending",
    ),
    Row(
        attacker="a program inside",
        flood="10,000 connects at once to 254 addresses that do not answer",
        play=partial(_silent_connects, addresses=_SILENT_NETWORK),
        bounds={PROCESSOR: 15, MEMORY: 80, DESCRIPTORS: 2100, OTHERS: 2},
        meets=_PENDING,
    ),
    Row(
        attacker="a program inside",
        flood="10,000 connects at once to as many ports that do not answer",
        play=partial(
            _silent_connects,
            addresses=_SILENT_NETWORK[:250],
            first_ports=range(443, 483, 4),
            ports=4,
        ),
        bounds={PROCESSOR: 20, MEMORY: 160, DESCRIPTORS: 5000, OTHERS: 2},
        meets=_PENDING,
        said="too many are held at a time",
    ),
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
