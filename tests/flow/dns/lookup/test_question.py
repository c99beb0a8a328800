"""One question: what is done where EDNS, or TCP, leads nowhere."""

import dns.flags
import dns.message
import dns.rcode
import pytest
import trio

from relay.addresses import Destination
from relay.dns.lookup.edns import EdnsMemory
from relay.dns.lookup.errors import FailureAnswerError, RejectedError, UpstreamError
from relay.dns.lookup.question import How, ask
from tests.support.inprocess.fake_resolver import Asked, Script, response, says, silent, start

ANSWER = says("www.example 60 TXT yes")
MANY = says(*(f"www.example 60 TXT {'x' * 200}{i}" for i in range(5)))
LONG, SHORT = 60.0, 0.05


def question(**options: object) -> dns.message.QueryMessage:
    return dns.message.make_query("www.example", "TXT", **options)  # type: ignore[arg-type]


async def garbage(asked: Asked) -> None:
    await asked.send(asked.message.to_wire()[:2] + b"\x80\x00\xff\xff garbage")


async def hang_up(asked: Asked) -> None:
    await asked.hang_up()


def plain_alone(trouble: Script) -> Script:
    """Have only the question without EDNS answered well."""

    async def script(asked: Asked) -> None:
        await (ANSWER if asked.message.edns < 0 else trouble)(asked)

    return script


@pytest.mark.parametrize(
    "trouble",
    [
        *(says(rcode=dns.rcode.Rcode(number)) for number in (1, 2, 4, 5, 9)),
        garbage,
    ],
    ids=["FORMERR", "SERVFAIL", "NOTIMP", "REFUSED", "NOTAUTH", "garbage"],
)
@pytest.mark.parametrize("want_dnssec", [False, True])
async def test_what_edns_spoils_is_asked_without_it(
    nursery: trio.Nursery, trouble: Script, want_dnssec: bool
) -> None:
    resolver, edns = await start(nursery, plain_alone(trouble)), EdnsMemory()
    query = question(use_edns=0, want_dnssec=want_dnssec)
    for _ in range(2):
        assert (await ask(resolver.server, query, How(LONG, edns))).answer
    assert [asked.message.edns for asked in resolver.asked] == [0, -1, -1], "it is remembered"
    assert query.edns == 0
    edns.forget()
    await ask(resolver.server, query, How(LONG, edns))
    assert [asked.message.edns for asked in resolver.asked][3:] == [0, -1]


async def test_an_error_that_is_meant_is_given_twice_and_not_remembered(
    nursery: trio.Nursery,
) -> None:
    resolver, edns = await start(nursery, says(rcode=dns.rcode.REFUSED)), EdnsMemory()
    for _ in range(2):
        with pytest.raises(FailureAnswerError, match="REFUSED"):
            await ask(resolver.server, question(use_edns=0), How(LONG, edns))
    assert [asked.message.edns for asked in resolver.asked] == [0, -1, 0, -1]


async def test_edns_that_is_swallowed(nursery: trio.Nursery) -> None:
    resolver, edns = await start(nursery, plain_alone(silent)), EdnsMemory()
    for _ in range(3):
        assert (await ask(resolver.server, question(use_edns=0), How(SHORT, edns))).answer
    assert [asked.message.edns for asked in resolver.asked] == [0, -1, 0, -1, -1]


async def test_dnssec_that_is_swallowed_is_tried_twice(nursery: trio.Nursery) -> None:
    resolver = await start(nursery, plain_alone(silent))
    assert (await ask(resolver.server, question(want_dnssec=True), How(SHORT))).answer
    assert [asked.message.edns for asked in resolver.asked] == [0, 0, -1]


async def test_a_lost_datagram_is_no_fault_of_edns(nursery: trio.Nursery) -> None:
    async def second_time(asked: Asked) -> None:
        await (ANSWER if len(resolver.asked) % 2 == 0 else silent)(asked)

    resolver, edns = await start(nursery, second_time), EdnsMemory()
    query = question(want_dnssec=True)
    for _ in range(3):
        assert (await ask(resolver.server, query, How(SHORT, edns))).answer
    assert {asked.message.edns for asked in resolver.asked} == {0}


async def test_icmp_is_no_fault_of_edns(nursery: trio.Nursery) -> None:
    resolver = await start(nursery, silent)
    closed = Destination("127.0.0.2", resolver.server.port)
    with pytest.raises(RejectedError):
        await ask(closed, question(use_edns=0), How(LONG))


def truncated(over_tcp: Script, large: Script) -> Script:
    """Have an answer that no plain datagram has room for."""

    async def script(asked: Asked) -> None:
        if asked.tcp:
            await over_tcp(asked)
        elif asked.message.edns >= 0:
            await large(asked)
        else:
            message = response(asked.message)
            message.flags |= dns.flags.TC
            await asked.send(message.to_wire())

    return script


@pytest.mark.parametrize("over_tcp", [silent, hang_up, garbage])
async def test_where_tcp_leads_nowhere_edns_makes_room(
    nursery: trio.Nursery, over_tcp: Script
) -> None:
    resolver = await start(nursery, truncated(over_tcp, MANY))
    assert len((await ask(resolver.server, question(), How(SHORT))).answer[0]) == 5


async def test_tcp_comes_first(nursery: trio.Nursery) -> None:
    resolver = await start(nursery, truncated(MANY, MANY))
    assert (await ask(resolver.server, question(), How(LONG))).answer
    assert [asked.tcp for asked in resolver.asked] == [False, True]
    assert {asked.message.edns for asked in resolver.asked} == {-1}


@pytest.mark.parametrize("large", [silent, garbage])
async def test_without_either_it_is_the_failure_of_tcp(
    nursery: trio.Nursery, large: Script
) -> None:
    resolver = await start(nursery, truncated(hang_up, large))
    with pytest.raises(UpstreamError, match="closed the connection"):
        await ask(resolver.server, question(), How(SHORT))


async def test_tcp_alone(nursery: trio.Nursery) -> None:
    resolver = await start(nursery, ANSWER)
    assert (await ask(resolver.server, question(), How(LONG, over_tcp=True))).answer
    assert [asked.tcp for asked in resolver.asked] == [True]
