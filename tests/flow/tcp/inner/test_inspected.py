"""What a program says first is held until its verdict is there, between real sockets."""

import socket

import trio
import trio.testing

from relay.addresses import Destination
from relay.outbound.opener import Opened
from relay.policy.policy import Policy
from relay.policy.verdicts import NOT_ALLOWED, Deny
from relay.record.kinds import Kind
from relay.tcp.inner.inspected import InspectedPump
from relay.tcp.inner.inspection import LIMIT, Inspection
from relay.tcp.transfer.pump import Redial
from tests.support.inprocess.client_hello import real
from tests.support.inprocess.tcp import Pumped, read_until_reset, start

HELLO = real("api.test")
ALLOWLIST = Policy(allow=["api.test"])


class Inspected:
    """Pumps to api.test, and what they have refused."""

    def __init__(self, policy: Policy = ALLOWLIST) -> None:
        self.refused: list[tuple[str, Deny]] = []
        self._policy = policy

    async def start(self, nursery: trio.Nursery) -> Pumped:
        return await start(nursery, make=self._make)

    def _make(self, program: socket.socket, upstream: Opened, redial: Redial) -> InspectedPump:
        inspection = Inspection(Destination("api.test", 443), self._policy)
        return InspectedPump(program, upstream, redial, inspection, self._note)

    def _note(self, denied: Deny, inner: str) -> None:
        self.refused.append((inner, denied))


async def test_a_hello_in_pieces_goes_on_once_it_is_whole(nursery: trio.Nursery) -> None:
    with await Inspected().start(nursery) as pumped:
        heard = bytearray()
        for piece in (HELLO[:100], HELLO[100:]):
            assert not heard
            await pumped.program.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        while len(heard) < len(HELLO):
            heard += await pumped.server.receive_some()
        assert heard == HELLO
        await pumped.program.send_all(b"more")
        assert await pumped.server.receive_some() == b"more"


async def test_what_stays_incomplete_is_reset_in_time(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    made = Inspected()
    with await made.start(nursery) as pumped:
        began = trio.current_time()
        await pumped.program.send_all(HELLO[:100])
        assert await read_until_reset(pumped.program) == b""
        assert await read_until_reset(pumped.server) == b""
        assert trio.current_time() - began >= LIMIT
        await pumped.ended.wait()
    assert [inner for inner, _denied in made.refused] == [""]
    assert pumped.outcome is not None
    assert pumped.outcome.kind is Kind.POLICY


async def test_another_name_is_reset_and_upstream_hears_nothing(nursery: trio.Nursery) -> None:
    made = Inspected()
    with await made.start(nursery) as pumped:
        await pumped.program.send_all(real("other.test"))
        assert await read_until_reset(pumped.program) == b""
        assert await read_until_reset(pumped.server) == b""
    assert [(inner, denied.rule) for inner, denied in made.refused] == [("other.test", NOT_ALLOWED)]


async def test_a_server_that_speaks_meanwhile_is_heard(nursery: trio.Nursery) -> None:
    with await Inspected().start(nursery) as pumped:
        await pumped.program.send_all(HELLO[:100])
        await pumped.server.send_all(b"220 ready")
        assert await pumped.program.receive_some() == b"220 ready"


async def test_an_end_within_a_hello_is_a_refusal(nursery: trio.Nursery) -> None:
    made = Inspected()
    with await made.start(nursery) as pumped:
        await pumped.program.send_all(HELLO[:100])
        await pumped.program.send_eof()
        assert await read_until_reset(pumped.server) == b""
    assert [inner for inner, _denied in made.refused] == [""]
