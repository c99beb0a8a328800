"""An API that fails for everybody is asked five times more than by the real client alone, in all.

Its own retries are what matters then: it is to meet the losses that it would meet alone, and go on
when the API answers again. docs/chaos.md, row 25, has the figures until it gives up.
"""

import pytest

from relay.record.events import AskedAgain, RequestLost
from tests.kernel.test_claude import KEY, api, bare, keepline, went_well
from tests.support.command.asking import explained
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.api.faults import Failure, Fault, Status
from tests.support.internet.servers.api.server import Api
from tests.support.internet.servers.api.stream import Position

__all__ = ["api", "keepline"]

LOSSES = [
    pytest.param(Failure(Fault.RST), id="rst"),
    pytest.param(Failure(Fault.FIN), id="fin"),
    pytest.param(Failure(Fault.RST, Position.IN_TOOL_USE, pause=0.1), id="in-the-middle"),
]
MET = 4
"""Losses that the client meets; it pauses for 7.5 s between them."""


@pytest.mark.parametrize("failure", LOSSES)
async def test_it_is_asked_again_five_times_in_all(
    api: Api, keepline: Keepline, failure: Failure
) -> None:
    api.script.add(*[failure] * (MET + 5), key=KEY)
    done = await went_well(keepline)
    assert len(done.all(AskedAgain)) == 5
    whys = [event.why for event in done.all(RequestLost)]
    spent = "the resends to this host are used up until it answers"
    assert whys == ["asked 6 times already"] + [spent] * (MET - 1)
    assert len(api.log.tries(KEY)) == MET + 5 + 2, "those that went well: the tool's use and result"
    assert any(f"not asked again: {spent}" in line for line in await explained(keepline))


@pytest.mark.as_user_alone("keepline is not in it")
async def test_bare_it_meets_as_many_losses(api: Api, keepline: Keepline) -> None:
    api.script.add(*[Failure(Fault.RST)] * MET, key=KEY)
    status, _said, ran = await bare(keepline)
    assert (status, ran, len(api.log.tries(KEY))) == (0, 1, MET + 2)


async def test_a_status_is_the_clients_own_affair(api: Api, keepline: Keepline) -> None:
    api.script.add(*[Status(529)] * MET, key=KEY)
    done = await went_well(keepline)
    assert not done.all(AskedAgain)
    assert len(api.log.tries(KEY)) == MET + 2
