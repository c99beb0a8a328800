"""What the gateway asks again, how often, and what the program sees when that does not help."""

import itertools
import json

import pytest
import trio
import trio.testing

from relay.config import Hold
from relay.record.events import UpstreamOpened
from relay.record.kinds import Kind
from tests.support.inprocess.gateway import Answer, Running, gateway
from tests.support.internet.servers.api.faults import (
    ONLY_H2,
    STATUS_OF_ERROR,
    UNPROCESSED,
    Failure,
    Fault,
    Status,
    possible,
)
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.server import Served, fake_api
from tests.support.internet.servers.api.stream import Position, body

PROTOCOLS = [("h2", "http/1.1"), ("http/1.1",)]
SECRET = "MARKED"
FIELDS = [("authorization", f"Bearer {SECRET}"), ("x-api-key", SECRET)]
PASSED_ON = {Fault.RATE_LIMIT, Fault.INVALID}


def places(fault: Fault) -> list[Position]:
    """Return the positions; no head is no loss, and after a stop reason nothing is missed."""
    harmless = {Position.START} if fault is Fault.SILENCE else set()
    if fault not in STATUS_OF_ERROR:
        harmless |= {Position.AFTER_DELTA}
    return [
        each
        for each in possible(fault)
        if each not in harmless and not (fault in UNPROCESSED and each is not Position.START)
    ]


async def ask(
    it: Running, seed: int, key: str, *, is_stream: bool, path: str = "/v1/messages"
) -> Answer:
    asked = {"seed": seed, "stream": is_stream, "secret": SECRET}
    async with it.connection() as program:
        fields = [*FIELDS, ("x-request-key", key)]
        return await program.ask(
            "POST", f"{path}?beta={SECRET}", json.dumps(asked).encode(), fields
        )


def assert_kept_rules(served: Served, it: Running, key: str) -> None:
    assert not list(served.log.broken(key))
    assert SECRET not in repr(it.events)


@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("fault", list(Fault))
async def test_no_loss_is_seen_when_messages_are_held(
    protocols: tuple[str, ...], fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    if fault in ONLY_H2 and protocols[0] != "h2":
        protocols = ("h2",)
    if fault in PASSED_ON:
        return
    async with fake_api(protocols=protocols) as served, gateway(served, patience=50) as it:
        for place, times in itertools.product(places(fault), (1, 2, 5)):
            is_stream = place is not Position.IN_BODY
            for seed in (6, 7):
                key = f"{place.name}-{times}-{seed}"
                served.script.add(*[Failure(fault, place)] * times, key=key)
                answer = await ask(it, seed, key, is_stream=is_stream)
                tries = served.log.tries(key)
                assert (answer.status, answer.loss) == (200, ""), (key, answer)
                assert answer.is_complete
                assert len(tries) == (1 if fault is Fault.GOAWAY_DRAIN else times + 1), key
                said = message(seed, len(tries) - 1)
                wanted = body(said, pings=False) if is_stream else said.document()
                assert without_pings(answer.body) == wanted
                assert_kept_rules(served, it, key)


def without_pings(data: bytes) -> bytes:
    events = data.split(b"\n\n")
    return b"\n\n".join(each for each in events if not each.startswith(b"event: ping"))


@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("fault", list(Fault))
async def test_six_losses_in_a_row_are_told(
    protocols: tuple[str, ...], fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    if fault in ONLY_H2 and protocols[0] != "h2":
        protocols = ("h2",)
    if fault in PASSED_ON | {Fault.GOAWAY_DRAIN}:
        return
    async with fake_api(protocols=protocols) as served, gateway(served, patience=500) as it:
        await ask(it, 7, "well", is_stream=True)  # so that it is known to tell its ends
        for place in places(fault):
            key = place.name
            is_stream = place is not Position.IN_BODY
            served.script.add(*[Failure(fault, place)] * 6, key=key)
            answer = await ask(it, 7, key, is_stream=is_stream)
            assert len(served.log.tries(key)) == 6
            if answer.status == 200:
                assert is_stream
                assert b"event: error\n" in answer.body
                assert b"event: message_stop" not in answer.body
            else:
                assert answer.status == 502
                assert (b"x-should-retry", b"true") in answer.fields
            await trio.testing.wait_all_tasks_blocked()
            assert it.lost()[-1].resends == 5
            assert_kept_rules(served, it, key)
            await ask(it, 7, f"{key}-well", is_stream=True)  # which fills the host's budget again


@pytest.mark.parametrize("hold", ["message", "block", "none"])
@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("fault", list(Fault))
async def test_what_comes_after_the_stop_reason_is_no_loss(
    hold: Hold, protocols: tuple[str, ...], fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    if fault in set(STATUS_OF_ERROR) | UNPROCESSED | {Fault.GOAWAY_DRAIN}:
        return
    if fault in ONLY_H2 and protocols[0] != "h2":
        protocols = ("h2",)
    failures = [Failure(fault, Position.AFTER_DELTA, 0.1)] * 2
    async with fake_api(*failures, protocols=protocols) as served, gateway(served, hold=hold) as it:
        for seed in (6, 7):
            answer = await ask(it, seed, str(seed), is_stream=True)
            assert (answer.is_complete, answer.loss) == (True, "")
            assert without_pings(answer.body) == body(message(seed), pings=False)
            assert len(served.log.tries(str(seed))) == 1
    assert not it.lost()


@pytest.mark.parametrize("hold", ["block", "none"])
@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("fault", [Fault.FIN, Fault.TLS_CLOSE, Fault.RST, Fault.SILENCE])
async def test_nothing_is_asked_again_after_content(
    hold: Hold, protocols: tuple[str, ...], fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    async with fake_api(protocols=protocols) as served, gateway(served, hold=hold) as it:
        seen = set()
        for place, seed in itertools.product(places(fault), range(6, 12)):
            key = f"{place.name}-{seed}"
            is_stream = place is not Position.IN_BODY
            served.script.add(Failure(fault, place, 0.1), key=key)
            answer = await ask(it, seed, key, is_stream=is_stream)
            tries = served.log.tries(key)
            seen.add(len(tries))
            if len(tries) == 1:
                assert answer.loss, (key, answer.body)
                assert b"content_block_delta" in answer.body
                assert b"message_stop" not in answer.body
            else:
                assert answer.is_complete
                said = message(seed, 1)
                assert without_pings(answer.body) == (
                    body(said, pings=False) if is_stream else said.document()
                )
            assert_kept_rules(served, it, key)
        assert seen == {1, 2}, "each is told after content, and asked again before it"


@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("fault", [Fault.FIN, Fault.TLS_CLOSE, Fault.RST])
async def test_an_unlisted_post_is_not_repeated(protocols: tuple[str, ...], fault: Fault) -> None:
    async with fake_api(protocols=protocols) as served, gateway(served) as it:
        for place in (Position.START, Position.AFTER_HEAD, Position.IN_BODY):
            served.script.add(Failure(fault, place), key=place.name)
            answer = await ask(it, 7, place.name, is_stream=False, path="/v1/other")
            assert answer.loss
            assert not answer.is_complete
            assert len(served.log.tries(place.name)) == 1
            await trio.testing.wait_all_tasks_blocked()
            assert it.lost()[-1].saw == "reset"


@pytest.mark.parametrize("fault", sorted(UNPROCESSED, key=str))
async def test_an_unlisted_post_that_was_not_processed_is(
    fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    async with fake_api(*[Failure(fault)] * 5) as served, gateway(served) as it:
        answer = await ask(it, 7, "a", is_stream=False, path="/v1/other")
        assert (answer.status, answer.is_complete) == (200, True)
        assert len(served.log.tries("a")) == 6
        assert_kept_rules(served, it, "a")


@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("fault", sorted(PASSED_ON, key=str))
async def test_an_error_of_the_request_is_passed_on_at_once(
    protocols: tuple[str, ...], fault: Fault
) -> None:
    async with (
        fake_api(Failure(fault, Position.IN_TEXT), protocols=protocols) as served,
        gateway(served) as it,
    ):
        answer = await ask(it, 7, "a", is_stream=True)
    assert (answer.status, answer.is_complete) == (200, True)
    assert fault.value.encode() in answer.body.rpartition(b"event: error")[2]
    assert len(served.log.asked) == 1
    assert not it.lost()


@pytest.mark.parametrize("code", [400, 401, 404, 413, 429, 500, 503, 529])
async def test_a_status_is_passed_on(code: int) -> None:
    told = Status(code, should_retry=True, retry_after=3)
    async with fake_api(told) as served, gateway(served) as it:
        answer = await ask(it, 7, "a", is_stream=True)
    assert answer.status == code
    assert (b"retry-after", b"3") in answer.fields
    assert len(served.log.asked) == 1


@pytest.mark.parametrize(("code", "tries"), [(529, 3), (500, 3), (429, 3), (400, 2)])
async def test_a_status_after_a_stream_was_promised(
    code: int, tries: int, autojump_clock: trio.testing.MockClock
) -> None:
    failures: list[Failure | Status] = [Failure(Fault.FIN, Position.IN_TEXT), Status(code)]
    async with fake_api(*failures) as served, gateway(served) as it:
        answer = await ask(it, 7, "a", is_stream=True)
    assert len(served.log.asked) == tries
    assert (answer.status, answer.is_complete) == (200, True)
    assert (b"event: error\n" in answer.body) == (code == 400)


async def test_upstream_may_say_when_it_is_to_be_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cut = Failure(Fault.FIN, Position.IN_TEXT)
    async with (
        fake_api(cut, Status(529, retry_after=40)) as served,
        gateway(served, patience=60) as it,
    ):
        answer = await ask(it, 7, "a", is_stream=True)
        assert answer.body.count(b"event: ping") >= 4, "the program is kept patient meanwhile"
        assert without_pings(answer.body) == body(message(7, 2), pings=False)
        assert trio.current_time() >= 40


async def test_a_pause_that_is_longer_than_patience_is_left_to_the_program(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cut = Failure(Fault.FIN, Position.IN_TEXT)
    async with (
        fake_api(cut, Status(529, retry_after=61)) as served,
        gateway(served, patience=60) as it,
    ):
        answer = await ask(it, 7, "a", is_stream=True)
        assert b"event: error\n" in answer.body
        await trio.testing.wait_all_tasks_blocked()
        assert it.lost()[0].why == "upstream asks for a pause beyond patience"


SPENT = "the resends to this host are used up until it answers"


@pytest.mark.parametrize("place", [Position.START, Position.IN_TOOL_USE])
async def test_a_host_that_fails_for_everybody_is_asked_again_five_times_in_all(
    place: Position, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that sends twelve requests before it gives up: then the host answers again."""
    async with fake_api(*[Failure(Fault.RST, place)] * 17) as served, gateway(served) as it:
        for number in range(12):
            await ask(it, 7, str(number), is_stream=True)
        await trio.testing.wait_all_tasks_blocked()
        assert len(served.log.asked) == 17
        assert {event.why for event in it.lost()} == {"asked 6 times already", SPENT}
        assert len(it.resends()) == 5
        opened = sum(isinstance(event, UpstreamOpened) for event in it.events)
        assert opened == len(served.log.asked), "nor is it dialled more often"

        assert (await ask(it, 7, "well", is_stream=True)).status == 200
        served.script.add(Failure(Fault.RST, place), key="again")
        answer = await ask(it, 7, "again", is_stream=True)
        assert (answer.status, len(served.log.tries("again"))) == (200, 2)


@pytest.mark.parametrize("protocols", PROTOCOLS)
async def test_requests_that_are_lost_together_are_all_asked_again(
    protocols: tuple[str, ...], autojump_clock: trio.testing.MockClock
) -> None:
    failures = [Failure(Fault.RST, Position.IN_TEXT)] * 10
    async with fake_api(*failures, protocols=protocols) as served, gateway(served) as it:

        async def one(key: str) -> None:
            answer = await ask(it, 7, key, is_stream=True)
            assert (answer.status, answer.loss) == (200, "")

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(one, str(number))
        assert not it.lost()


async def test_answers_of_other_kinds_do_not_pay_for_streams_that_are_always_cut(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As by a middlebox with a limit of time; the client falls back on whole documents."""
    async with fake_api() as served, gateway(served) as it:
        for number in range(10):
            served.script.add(*[Failure(Fault.RST, Position.IN_TEXT)] * 6, key=str(number))
            await ask(it, 7, str(number), is_stream=True)
            assert (await ask(it, 7, f"whole-{number}", is_stream=False)).status == 200
        await trio.testing.wait_all_tasks_blocked()
        assert len(it.resends()) == 5


async def test_a_status_that_may_pass_pays_for_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    script: list[Failure | Status] = [*[Failure(Fault.RST)] * 6, Status(529), Failure(Fault.RST)]
    async with fake_api(*script) as served, gateway(served) as it:
        statuses = [(await ask(it, 7, str(n), is_stream=True)).status for n in range(3)]
        await trio.testing.wait_all_tasks_blocked()
    assert statuses == [502, 529, 502]
    assert it.lost()[-1].why == SPENT


async def test_an_upstream_that_is_not_trusted_gets_nothing() -> None:
    async with fake_api() as served, gateway(served, is_trusted=False) as it:
        answer = await ask(it, 7, "a", is_stream=True)
    assert answer.status == 502
    assert (b"x-should-retry", b"false") in answer.fields
    assert b"not trusted" in answer.body
    assert "not trusted" in it.lost()[0].cause
    assert it.lost()[0].kind is Kind.UNTRUSTED
    assert not served.log.asked


async def test_where_nothing_listens_all_who_wait_are_told_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with fake_api() as served:
        pass
    async with gateway(served, is_trusted=False, patience=3) as it:

        async def one(key: str) -> None:
            answer = await ask(it, 7, key, is_stream=True)
            assert answer.status == 502
            assert b"refused" in answer.body
            assert (b"x-should-retry", b"true") in answer.fields

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(one, str(number))
        assert trio.current_time() < 10
        assert len(it.lost()) == 20
        await it.assert_nothing_is_left()
