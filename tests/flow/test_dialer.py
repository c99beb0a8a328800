"""The dialer: races addresses, holds outages, tells refusals, and never floods an address."""

import socket
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing

from relay.host.network import Weather
from relay.outbound.dialer import ATTEMPT, IN_FLIGHT, Dialer, DialError, Target
from relay.record.kinds import Kind
from relay.sockets import KeepAlive

KEEPALIVE = KeepAlive(idle=20, interval=5, count=3, user_timeout=300, rto_max=1000)
PATIENCE = 30.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as sock:
        yield sock


@pytest.fixture
def refusing_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Names:
    """Answers lookups from a script; the last answer is repeated."""

    def __init__(self, *answers: list[str] | str) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def lookup(self, name: str, *, fresh: bool) -> list[str]:
        assert name
        assert fresh == (self.asked > 0)
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if isinstance(answer, str):
            raise DialError(answer, Kind.NAME_FAILURE)
        return answer


def dialer(names: Names | None = None, weather: Weather | None = None) -> Dialer:
    return Dialer((names or Names([])).lookup, KEEPALIVE, weather or Weather(), PATIENCE)


class Told:
    """What the dialer says meanwhile."""

    def __init__(self) -> None:
        self.causes: list[str] = []
        self.kinds: list[Kind] = []
        self.held = trio.Event()

    def note(self, cause: str, kind: Kind) -> None:
        self.causes.append(cause)
        self.kinds.append(kind)
        self.held.set()


async def dial(
    made: Dialer, target: Target, told: Told | None = None, wanted: Callable[[], bool] = bool
) -> int:
    """Dial and hang up; gives the number of rounds."""
    sock, attempts = await made.dial(
        target, held=(told or Told()).note, wanted=wanted if wanted is not bool else lambda: True
    )
    sock.close()
    return attempts


async def test_it_connects_with_the_options_set(listener: socket.socket) -> None:
    address, port = listener.getsockname()
    sock, attempts = await dialer().dial(
        Target(None, address, port), held=Told().note, wanted=lambda: True
    )
    with sock:
        assert attempts == 1
        assert sock.getpeername() == (address, port)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        tcp = socket.IPPROTO_TCP
        assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 20
        assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 5
        assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 300_000
        assert sock.getsockopt(tcp, socket.TCP_NODELAY) == 1


async def test_a_refusal_by_a_stranger_is_told_at_once(refusing_port: int) -> None:
    told = Told()
    with pytest.raises(DialError, match="Connection refused"):
        await dial(dialer(), Target(None, "127.0.0.1", refusing_port), told)
    assert told.causes == []


async def test_a_refusal_by_an_acquaintance_is_held(
    autojump_clock: trio.testing.MockClock,
) -> None:
    made, told = dialer(), Told()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address, port = sock.getsockname()
        assert await dial(made, Target(None, address, port)) == 1
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def dial_again() -> None:
            assert await dial(made, Target(None, address, port), told) > 1
            done.set()

        nursery.start_soon(dial_again)
        await told.held.wait()
        await trio.sleep(20)
        with socket.create_server((address, port)):
            before = trio.current_time()
            await done.wait()
            assert trio.current_time() - before <= 2.0
    assert told.causes == ["Connection refused"]
    assert told.kinds == [Kind.REFUSED]


async def test_patience_ends(refusing_port: int, autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(DialError, match="SERVFAIL, for 30 s"):
        await dial(dialer(Names("SERVFAIL")), Target("server.test", "", refusing_port))
    assert trio.current_time() - began == pytest.approx(PATIENCE)


async def test_the_name_is_asked_for_again_in_each_round(
    listener: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    names, told = Names("silent", [], ["127.0.0.1"]), Told()
    port = listener.getsockname()[1]
    assert await dial(dialer(names), Target("server.test", "", port), told) == 3
    assert names.asked == 3
    assert told.causes == ["silent"]
    assert told.kinds == [Kind.NAME_FAILURE]


async def test_a_change_of_network_ends_a_pause_at_once(
    listener: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    weather, told = Weather(), Told()
    names = Names(*["silent"] * 10, ["127.0.0.1"])
    made = dialer(names, weather)
    async with trio.open_nursery() as nursery:

        async def dial_name() -> None:
            await dial(made, Target("server.test", "", listener.getsockname()[1]), told)

        nursery.start_soon(dial_name)
        await told.held.wait()
        began = trio.current_time()
        while nursery.child_tasks:
            weather.changed()
            await trio.lowlevel.checkpoint()
        assert trio.current_time() == began


async def test_a_program_that_has_left_is_not_dialled_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    names = Names("silent")
    with pytest.raises(DialError, match="closed the connection first"):
        await dial(dialer(names), Target("server.test", "", 1), wanted=lambda: False)
    assert names.asked == 1


@pytest.mark.parametrize("order", [0, 1])
async def test_a_refusing_address_costs_nothing(listener: socket.socket, order: int) -> None:
    """127.0.0.9 refuses: nothing listens there."""
    addresses = ["127.0.0.9", "127.0.0.1"]
    names = Names(addresses[order:] + addresses[:order])
    began = trio.current_time()
    assert await dial(dialer(names), Target("two.test", "", listener.getsockname()[1])) == 1
    assert trio.current_time() - began < 0.2


async def test_the_address_to_avoid_comes_last(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_server(("127.0.0.2", port)):
        sock, _ = await dialer(Names(["127.0.0.1", "127.0.0.2"])).dial(
            Target("two.test", "", port), held=Told().note, wanted=lambda: True, avoid="127.0.0.1"
        )
        with sock:
            assert sock.getpeername()[0] == "127.0.0.2"


class Hanging(Dialer):
    """Connects never end until told, so that those in flight can be counted."""

    def __init__(self) -> None:
        super().__init__(Names([]).lookup, KEEPALIVE, Weather(), PATIENCE)
        self.in_flight: dict[str, int] = {}
        self.answer = trio.Event()

    async def _connect_now(self, address: str, port: int) -> socket.socket:
        self.in_flight[address] = self.in_flight.get(address, 0) + 1
        await self.answer.wait()
        self._answer_came(address)
        return socket.socket()


async def test_eight_dials_at_a_time_until_an_address_answers() -> None:
    made = Hanging()
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(dial, made, Target(None, "192.0.2.1", 443))
        nursery.start_soon(dial, made, Target(None, "192.0.2.2", 443))
        await trio.testing.wait_all_tasks_blocked()
        assert made.in_flight == {"192.0.2.1": IN_FLIGHT, "192.0.2.2": 1}
        made.answer.set()
    assert made.in_flight["192.0.2.1"] == 50


async def test_a_round_without_an_answer_ends(autojump_clock: trio.testing.MockClock) -> None:
    made, told = Hanging(), Told()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial, made, Target(None, "192.0.2.1", 443), told)
        began = trio.current_time()
        await told.held.wait()
        assert trio.current_time() - began == pytest.approx(ATTEMPT)
        assert told.causes == ["no answer"]
        assert told.kinds == [Kind.TIMEOUT]
        made.answer.set()
