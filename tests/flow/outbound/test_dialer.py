"""The dialer: races addresses, holds outages, tells refusals, and never floods an address."""

import errno
import socket
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing

from relay.addresses import Destination, Endpoint
from relay.host.network import NetworkWatch
from relay.outbound import icmp
from relay.outbound.dialer import ATTEMPT, IN_FLIGHT, ROUNDS, Dialer
from relay.outbound.door import MOST, DeniedError, Door
from relay.outbound.keepalive import IP_RECVERR, KeepAlive
from relay.outbound.opener import WOKEN, Opened, Opener
from relay.outbound.patience import NO_ANSWER, DialError
from relay.outbound.standing import Standing
from relay.record.events import AddressDenied, DialHeld, Dialled, Event
from relay.record.kinds import Kind
from tests.support.inprocess.judges import Judge, open_door
from tests.support.pace import patience, within

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

    async def lookup(self, destination: Destination, *, fresh: bool) -> list[str]:
        assert destination.name
        assert fresh == (self.asked > 0)
        answer = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        if isinstance(answer, str):
            raise DialError(answer, Kind.NAME_FAILURE)
        return answer


class Told:
    """What the opener records meanwhile."""

    def __init__(self) -> None:
        self.causes: list[str] = []
        self.kinds: list[Kind] = []
        self.attempts = 0
        self.denied: list[AddressDenied] = []
        self.held = trio.Event()

    def note(self, event: Event) -> None:
        if isinstance(event, DialHeld):
            self.causes.append(event.cause)
            self.kinds.append(event.kind)
            self.held.set()
        elif isinstance(event, AddressDenied):
            self.denied.append(event)
        elif isinstance(event, Dialled):
            self.attempts = event.attempts


class Dialling:
    """An opener for one test, and what it records."""

    def __init__(
        self,
        names: Names | None = None,
        network: NetworkWatch | None = None,
        *,
        dialer: Dialer | None = None,
    ) -> None:
        self.told = Told()
        dialer = dialer or Dialer((names or Names([])).lookup, KEEPALIVE, open_door())
        self._opener = Opener(
            dialer, network or NetworkWatch(), Standing(), self.told.note, patience=PATIENCE
        )

    async def open(
        self, host: str, port: int, wanted: Callable[[], bool] = lambda: True, avoid: str = ""
    ) -> Opened:
        return await self._opener.open(Destination(host, port), 1, wanted=wanted, avoid=avoid)

    async def dial(self, host: str, port: int, wanted: Callable[[], bool] = lambda: True) -> int:
        """Dial and hang up; gives the number of rounds."""
        (await self.open(host, port, wanted)).sock.close()
        return self.told.attempts


async def test_it_connects_with_the_options_set(listener: socket.socket) -> None:
    address, port = listener.getsockname()
    made = Dialling()
    sock, reached, *_ = await made.open(address, port)
    with sock:
        assert made.told.attempts == 1
        assert reached == (address, port)
        assert sock.getpeername() == (address, port)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        tcp = socket.IPPROTO_TCP
        assert sock.getsockopt(tcp, socket.TCP_KEEPIDLE) == 20
        assert sock.getsockopt(tcp, socket.TCP_KEEPINTVL) == 5
        assert sock.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 300_000
        assert sock.getsockopt(tcp, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.IPPROTO_IP, IP_RECVERR) == 0, "ICMP may not end it now"


async def test_a_refusal_by_a_stranger_is_told_at_once(refusing_port: int) -> None:
    made = Dialling()
    with pytest.raises(DialError, match="Connection refused"):
        await made.dial("127.0.0.1", refusing_port)
    assert made.told.causes == []


async def test_a_refusal_by_an_acquaintance_is_held(
    autojump_clock: trio.testing.MockClock,
) -> None:
    made = Dialling()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address, port = sock.getsockname()
        assert await made.dial(address, port) == 1
    async with trio.open_nursery() as nursery:
        done = trio.Event()

        async def dial_again() -> None:
            assert await made.dial(address, port) > 1
            done.set()

        nursery.start_soon(dial_again)
        await made.told.held.wait()
        await trio.sleep(20)
        with socket.create_server((address, port)):
            before = trio.current_time()
            await done.wait()
            assert trio.current_time() - before <= 2.0
    assert made.told.causes == ["Connection refused"]
    assert made.told.kinds == [Kind.REFUSED]


async def test_patience_ends(refusing_port: int, autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(DialError, match="SERVFAIL, for 30 s"):
        await Dialling(Names("SERVFAIL")).dial("server.test", refusing_port)
    assert trio.current_time() - began == pytest.approx(PATIENCE)


async def test_a_name_without_an_address_fails_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    names = Names("silent", [])
    with pytest.raises(DialError, match="no address that may be dialled"):
        await Dialling(names).dial("server.test", 1)
    assert names.asked == 2


async def test_a_slow_lookup_counts_as_patience(autojump_clock: trio.testing.MockClock) -> None:
    async def lookup(destination: Destination, *, fresh: bool) -> list[str]:
        await trio.sleep(PATIENCE - 0.1)
        return ["192.0.2.1"]

    hanging = Hanging()
    made = Dialling(dialer=Dialer(lookup, KEEPALIVE, Door(Judge(), hanging.connect)))
    began = trio.current_time()
    with pytest.raises(DialError, match="no answer, for 30 s"):
        await made.dial("slow.test", 443)
    assert trio.current_time() - began == pytest.approx(PATIENCE)


async def test_the_name_is_asked_for_again_in_each_round(
    listener: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    names = Names("silent", "silent", ["127.0.0.1"])
    made = Dialling(names)
    assert await made.dial("server.test", listener.getsockname()[1]) == 3
    assert names.asked == 3
    assert made.told.causes == ["silent"]
    assert made.told.kinds == [Kind.NAME_FAILURE]


async def test_a_change_of_network_ends_a_pause_at_once(
    listener: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    network = NetworkWatch()
    made = Dialling(Names(*["silent"] * 10, ["127.0.0.1"]), network)
    async with trio.open_nursery() as nursery:

        async def dial_name() -> None:
            await made.dial("server.test", listener.getsockname()[1])

        nursery.start_soon(dial_name)
        await made.told.held.wait()
        began = trio.current_time()
        while nursery.child_tasks:
            network.notify()
            await trio.lowlevel.checkpoint()
        assert trio.current_time() == began


async def test_a_program_that_has_left_is_not_dialled_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    names = Names("silent")
    with pytest.raises(DialError, match="closed the connection first"):
        await Dialling(names).dial("server.test", 1, wanted=lambda: False)
    assert names.asked == 1


@pytest.mark.parametrize("order", [0, 1])
async def test_a_refusing_address_costs_nothing(listener: socket.socket, order: int) -> None:
    """127.0.0.9 refuses: nothing listens there."""
    addresses = ["127.0.0.9", "127.0.0.1"]
    names = Names(addresses[order:] + addresses[:order])
    began = trio.current_time()
    assert await Dialling(names).dial("two.test", listener.getsockname()[1]) == 1
    assert within(trio.current_time() - began, 0.2)


async def test_the_address_to_avoid_comes_last(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_server(("127.0.0.2", port)):
        made = Dialling(Names(["127.0.0.1", "127.0.0.2"]))
        sock, *_ = await made.open("two.test", port, avoid="127.0.0.1")
        with sock:
            assert sock.getpeername()[0] == "127.0.0.2"


class Scripted:
    """Connects end as a script says for each address; its last errno is repeated."""

    def __init__(self, **numbers: list[int]) -> None:
        self._numbers = {name.replace("_", "."): each for name, each in numbers.items()}
        self.begun: list[tuple[str, float]] = []

    async def connect(self, _sock: socket.socket, endpoint: Endpoint) -> int:
        address = endpoint[0]
        self.begun.append((address, trio.current_time()))
        await trio.lowlevel.checkpoint()
        numbers = self._numbers["at." + address]
        return numbers.pop(0) if len(numbers) > 1 else numbers[0]

    def dialling(self, names: Names | None = None) -> Dialling:
        return Dialling(
            dialer=Dialer((names or Names([])).lookup, KEEPALIVE, Door(Judge(), self.connect))
        )


AWAY = "192.0.2.1"
OTHER = "192.0.2.2"


async def test_unreachable_is_held_until_patience_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    made = Scripted(at_192_0_2_1=[errno.EHOSTUNREACH]).dialling()
    began = trio.current_time()
    with pytest.raises(DialError, match=", for 30 s") as raised:
        await made.dial(AWAY, 443)
    assert raised.value.code == NO_ANSWER
    assert trio.current_time() - began == pytest.approx(PATIENCE)


async def test_unreachable_is_told_once_another_dial_has_got_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The pause ends in that moment; who is silent or refuses is not dialled sooner for it."""
    script = Scripted(
        at_192_0_2_1=[errno.ENETUNREACH], at_192_0_2_2=[0], at_192_0_2_3=[errno.ETIMEDOUT]
    )
    made = script.dialling()

    async def dial_in_vain() -> None:
        with pytest.raises(DialError, match="though others are reached") as raised:
            await made.dial(AWAY, 443)
        assert raised.value.code == 0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial_in_vain)
        nursery.start_soon(made.dial, "192.0.2.3", 443)
        await trio.testing.wait_all_tasks_blocked()
        del script.begun[:]
        now = trio.current_time()
        await made.dial(OTHER, 443)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        assert script.begun == [(OTHER, now), (AWAY, now)]
        nursery.cancel_scope.cancel()


async def test_unreachable_that_is_reached_again_after_another_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The network is back: the first that notices wakes those that are held."""
    script = Scripted(at_192_0_2_1=[errno.ENETUNREACH, 0], at_192_0_2_2=[0])
    made = script.dialling()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.dial, AWAY, 443)
        await made.told.held.wait()
        now = trio.current_time()
        await made.dial(OTHER, 443)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() == now
        assert made.told.attempts == 2


async def test_of_thousands_some_go_on_at_once_and_the_others_after_their_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """All at once would keep everybody else waiting."""
    script = Scripted(at_192_0_2_1=[errno.ENETUNREACH], at_192_0_2_2=[0])
    made, count = script.dialling(), WOKEN + 10
    failures: list[DialError] = []

    async def dial() -> None:
        with pytest.raises(DialError) as raised:
            await made.dial(AWAY, 443)
        failures.append(raised.value)

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(dial)
        await made.told.held.wait()
        await trio.testing.wait_all_tasks_blocked()
        now, begun = trio.current_time(), len(script.begun)
        await made.dial(OTHER, 443)
        await trio.testing.wait_all_tasks_blocked()
        assert (trio.current_time(), len(script.begun)) == (now, begun + 1 + WOKEN)
        assert len(failures) == WOKEN
    assert len(failures) == count


async def test_of_two_addresses_the_one_that_may_come_back_decides(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = Scripted(at_192_0_2_1=[errno.EHOSTUNREACH, 0], at_192_0_2_2=[errno.ECONNREFUSED])
    made = script.dialling(Names([AWAY, OTHER]))
    assert await made.dial("two.test", 443) == 2
    assert made.told.kinds == [Kind.UNREACHABLE]


async def test_an_option_that_the_kernel_refuses_fails_that_dial(refusing_port: int) -> None:
    impossible = KeepAlive(idle=0, interval=5, count=3, user_timeout=300, rto_max=1000)
    made = Dialling(dialer=Dialer(Names([]).lookup, impossible, open_door()))
    with pytest.raises(DialError, match="Invalid argument"):
        await made.dial("127.0.0.1", refusing_port)


class Hanging:
    """Connects never end until they may, so that those in flight can be counted."""

    def __init__(self) -> None:
        self.in_flight: dict[str, int] = {}
        self.answer = trio.Event()

    async def connect(self, _sock: socket.socket, endpoint: Endpoint) -> int:
        self.in_flight[endpoint[0]] = self.in_flight.get(endpoint[0], 0) + 1
        await self.answer.wait()
        return 0

    def dialling(self) -> Dialling:
        return Dialling(dialer=Dialer(Names([]).lookup, KEEPALIVE, Door(Judge(), self.connect)))


async def test_eight_dials_at_a_time_until_an_address_answers() -> None:
    hanging = Hanging()
    made = hanging.dialling()
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(made.dial, "192.0.2.1", 443)
        nursery.start_soon(made.dial, "192.0.2.2", 443)
        await trio.testing.wait_all_tasks_blocked()
        assert hanging.in_flight == {"192.0.2.1": IN_FLIGHT, "192.0.2.2": 1}
        hanging.answer.set()
    assert hanging.in_flight["192.0.2.1"] == 50


async def test_a_port_that_is_silent_keeps_nobody_from_another_one() -> None:
    hanging = Hanging()
    made = hanging.dialling()
    async with trio.open_nursery() as nursery:
        for _ in range(IN_FLIGHT):
            nursery.start_soon(made.dial, "192.0.2.1", 8443)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(made.dial, "192.0.2.1", 443)
        await trio.testing.wait_all_tasks_blocked()
        assert hanging.in_flight == {"192.0.2.1": IN_FLIGHT + 1}
        hanging.answer.set()


async def test_a_refusal_is_an_answer_after_which_all_dial_freely() -> None:
    waiting, most = 0, 0
    all_waiting = trio.Event()

    async def connect(_sock: socket.socket, _endpoint: Endpoint) -> int:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        if waiting == 50:
            all_waiting.set()
        if first.is_set():
            await all_waiting.wait()
        first.set()
        return errno.ECONNREFUSED

    async def refused() -> None:
        with pytest.raises(DialError, match="refused"):
            await dialer.dial(Destination("192.0.2.1", 443), trio.current_time() + 5, fresh=False)

    first = trio.Event()
    dialer = Dialer(Names([]).lookup, KEEPALIVE, Door(Judge(), connect))
    await refused()
    waiting = 0
    with trio.fail_after(patience(10)):
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(refused)
    assert most == 50


async def test_a_round_without_an_answer_ends(autojump_clock: trio.testing.MockClock) -> None:
    hanging = Hanging()
    made = hanging.dialling()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.dial, "192.0.2.1", 443)
        began = trio.current_time()
        await made.told.held.wait()
        assert trio.current_time() - began == pytest.approx(ATTEMPT)
        assert made.told.causes == ["no answer"]
        assert made.told.kinds == [Kind.TIMEOUT]
        hanging.answer.set()


@pytest.mark.parametrize("winners", [1, 2])
async def test_a_race_that_is_cancelled_as_it_is_won_leaves_no_socket(
    winners: int, autojump_clock: trio.testing.MockClock
) -> None:
    """The cancellation comes in the very step in which the connects are through."""
    begun: list[socket.socket] = []
    all_begun, through = trio.Event(), trio.Event()

    async def connect(sock: socket.socket, _endpoint: Endpoint) -> int:
        begun.append(sock)
        if len(begun) == winners:
            all_begun.set()
        await through.wait()
        return 0

    made = Dialling(
        dialer=Dialer(Names(["192.0.2.1", "192.0.2.2"]).lookup, KEEPALIVE, Door(Judge(), connect))
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.dial, "two.test", 443)
        await all_begun.wait()
        through.set()
        nursery.cancel_scope.cancel()
    assert [sock.fileno() for sock in begun] == [-1] * winners


# What policy forbids


async def test_of_hundreds_without_an_answer_few_begin_another_round_each_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    dialer = Dialer(Names([]).lookup, KEEPALIVE, Door(Judge(), Hanging().connect))
    ended: list[float] = []

    async def failing(port: int) -> None:
        with pytest.raises(DialError, match="no answer"):
            await dialer.dial(Destination("192.0.2.1", port), 60.0, fresh=False)
        ended.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for port in range(ROUNDS * 5):
            nursery.start_soon(failing, port)
    at_once = int(ATTEMPT) * ROUNDS + 1
    assert ended[:at_once] == [ATTEMPT] * at_once
    assert ended[-1] == pytest.approx(ATTEMPT + 1, abs=0.1)
    assert len(set(ended[at_once:])) == ROUNDS - 1


async def test_addresses_that_are_denied_are_not_dialled_and_told_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script = Scripted(at_192_0_2_1=[0], at_192_0_2_2=[errno.ETIMEDOUT, 0])
    door = Door(Judge(AWAY), script.connect)
    made = Dialling(dialer=Dialer(Names([AWAY, OTHER]).lookup, KEEPALIVE, door))
    assert await made.dial("two.test", 443) == 2
    assert [address for address, _at in script.begun] == [OTHER, OTHER]
    assert [(event.address, event.reason) for event in made.told.denied] == [(AWAY, "a test")]


async def test_a_dial_whose_addresses_are_all_denied_fails_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """In a later round too: the name led elsewhere before."""
    script = Scripted(at_192_0_2_1=[errno.ETIMEDOUT])
    door = Door(Judge(OTHER), script.connect)
    made = Dialling(dialer=Dialer(Names([AWAY], [OTHER]).lookup, KEEPALIVE, door))
    with pytest.raises(
        DeniedError, match=r"192\.0\.2\.2 is denied: 192\.0\.2\.2 \(a test\)"
    ) as raised:
        await made.dial("flip.test", 443)
    assert (raised.value.address, raised.value.kind) == (OTHER, Kind.POLICY)
    assert raised.value.code == icmp.PROHIBITED
    assert [address for address, _at in script.begun] == [AWAY]


async def test_what_is_denied_while_it_waits_for_its_turn_is_not_dialled() -> None:
    hanging, judge = Hanging(), Judge()
    made = Dialling(dialer=Dialer(Names([]).lookup, KEEPALIVE, Door(judge, hanging.connect)))

    async def denied() -> None:
        with pytest.raises(DeniedError):
            await made.dial(AWAY, 443)

    async with trio.open_nursery() as nursery:
        for _ in range(IN_FLIGHT):
            nursery.start_soon(made.dial, AWAY, 443)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(denied)
        await trio.testing.wait_all_tasks_blocked()
        judge.denied.add(AWAY)
        hanging.answer.set()
    assert hanging.in_flight == {AWAY: IN_FLIGHT}


async def test_eight_addresses_of_an_answer_are_dialled_at_most(
    autojump_clock: trio.testing.MockClock,
) -> None:
    many = [f"192.0.2.{number}" for number in range(1, 255)]
    hanging = Hanging()
    door = Door(Judge("192.0.2.1"), hanging.connect)
    made = Dialling(dialer=Dialer(Names(many).lookup, KEEPALIVE, door))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.dial, "many.test", 443)
        await trio.sleep(ATTEMPT - 0.1)
        assert list(hanging.in_flight) == many[1 : MOST + 1]
        nursery.cancel_scope.cancel()
