"""That names of one zone silence no others, and what leaves where little is trusted."""

import socket
from collections.abc import Sequence

import dns.edns
import dns.message
import dns.rcode
import pytest
import trio

from relay.dns.bounds.channel import BURST_OF_ZONE, NAMES_OF_ZONE
from relay.dns.bounds.places import MOST_OF_ZONE
from relay.dns.bounds.tally import NAMES_OF_ZONE as TOLD
from relay.policy.policy import Policy, Terms
from relay.record.events import (
    FurtherNames,
    NameForwarded,
    NameRefused,
    NamesBounded,
    ServedStale,
)
from relay.record.kinds import Kind
from tests.support.inprocess.fake_resolver import Asked, says
from tests.support.inprocess.nameserver import (
    PATIENT,
    SYNTHETIC,
    Bench,
    addresses,
    answer_to,
    serving,
)
from tests.support.pace import patience

STRICT = Policy(terms=Terms(is_strict=True))
WILD = Policy(allow=["*.evil.test", "named.evil.test"])


async def silent_about_slow(asked: Asked) -> None:
    name = asked.message.question[0].name.to_text()
    if not name.endswith("slow.test."):
        await says(f"{name.rstrip('.')} 0 A 192.0.2.1")(asked)


async def ask_all(made: Bench, names: Sequence[str], rdtype: str = "A") -> trio.socket.SocketType:
    """Ask for them from one socket, which has room for all answers, without waiting for any."""
    sock = trio.socket.socket(type=socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    await sock.connect(made.address)
    for name in names:
        await sock.send(dns.message.make_query(name, rdtype).to_wire())
        await trio.lowlevel.checkpoint()
    return sock


async def test_one_zones_unanswered_lookups_silence_no_other() -> None:
    count = 4096
    async with serving(silent_about_slow, timeouts=PATIENT) as made:
        with await ask_all(made, [f"n{n}.slow.test" for n in range(count)]) as sock:
            with trio.fail_after(patience(30)):
                for _ in range(count - MOST_OF_ZONE):
                    answer = dns.message.from_wire(await sock.recv(512))
                    assert answer.rcode() == dns.rcode.SERVFAIL
                assert addresses(await made.ask("www.example")) == [SYNTHETIC]
                assert addresses(await made.ask("www.example")) == [SYNTHETIC]
        bounded = made.recorded(NamesBounded)
        assert len(bounded) == count - MOST_OF_ZONE
        assert bounded[0] == NamesBounded(
            zone="slow.test",
            kind=Kind.BOUND,
            cause="too many at a time: 512 lookups of one zone are under way",
        )


@pytest.mark.parametrize("over", ["udp", "tcp"])
async def test_what_is_known_of_old_needs_no_place(over: str) -> None:
    async with serving(silent_about_slow, timeouts=PATIENT) as made:
        send = made.tcp if over == "tcp" else made.udp
        before = addresses(await made.ask("www.a.example"))  # its TTL is 0
        made.upstream.script = silent_about_all
        names = [f"n{n}.a.example" for n in range(MOST_OF_ZONE)]
        with await ask_all(made, names), trio.fail_after(patience(10)):
            while len(made.upstream.asked) < MOST_OF_ZONE:
                await trio.lowlevel.checkpoint()
            old = dns.message.make_query("www.a.example", "A")
            assert addresses(answer_to(old, await send(old.to_wire()))) == before
            new = dns.message.make_query("new.a.example", "A")
            assert answer_to(new, await send(new.to_wire())).rcode() == dns.rcode.SERVFAIL


async def silent_about_all(_asked: Asked) -> None:
    pass


# The record.


async def test_what_leaves_is_in_the_record() -> None:
    """200 names of 115 octets left no line."""
    names = [f"{n:03}{'x' * 49}.{'y' * 52}.evil.test" for n in range(200)]
    async with serving(says("x.test 60 TXT x"), timeouts=PATIENT) as made:
        for name in names:
            await made.ask(name, "TXT")
        assert made.recorded(NameForwarded) == [
            NameForwarded(name=name, type="TXT") for name in names[:TOLD]
        ]
        assert len(made.recorded(FurtherNames)) == 200 - TOLD


# With allow rules, and in strict.


@pytest.mark.parametrize("policy", [WILD, STRICT])
async def test_few_names_of_a_zone_leave(policy: Policy) -> None:
    async with serving(says(rcode=dns.rcode.NXDOMAIN), timeouts=PATIENT, policy=policy) as made:
        answers = [
            await made.ask(f"n{n}.evil.test", "TXT", use_edns=0) for n in range(NAMES_OF_ZONE + 9)
        ]
        assert len(made.upstream.asked) == NAMES_OF_ZONE
        assert [answer.rcode() for answer in answers[-9:]] == [dns.rcode.REFUSED] * 9
        [option] = answers[-1].options
        cause = "more than may leave in questions: 128 names of a zone an hour"
        assert isinstance(option, dns.edns.EDEOption)
        assert (option.code, option.text) == (17, cause)
        bounded = NamesBounded(zone="evil.test", kind=Kind.CHANNEL, cause=cause)
        assert made.recorded(NamesBounded) == [bounded] * 9
        assert (await made.ask("n0.evil.test", "TXT")).rcode() == dns.rcode.NXDOMAIN


async def test_a_name_that_a_rule_writes_out_is_not_counted() -> None:
    async with serving(says(rcode=dns.rcode.NXDOMAIN), timeouts=PATIENT, policy=WILD) as made:
        for n in range(NAMES_OF_ZONE + 1):
            await made.ask(f"n{n}.evil.test", "TXT")
        assert (await made.ask("Named.evil.test", "TXT")).rcode() == dns.rcode.NXDOMAIN
        made.policy.tighten(Policy(allow=["new.evil.test"]))
        answer = await made.ask("new.evil.test", "TXT")
        assert answer.rcode() == dns.rcode.REFUSED, "a program may have written this rule"


@pytest.mark.parametrize("rdtype", ["NULL", "TYPE65280"])
async def test_types_that_tunnels_use_do_not_leave(rdtype: str) -> None:
    async with serving(says("www.evil.test 60 TXT x"), policy=WILD) as made:
        assert (await made.ask("www.evil.test", rdtype)).rcode() == dns.rcode.REFUSED
        assert made.upstream.asked == []


async def test_beyond_the_pace_the_last_known_addresses_are_served() -> None:
    async with serving(says("www.evil.test 0 A 192.0.2.1"), timeouts=PATIENT, policy=WILD) as made:
        answers = [await made.ask("www.evil.test") for _ in range(BURST_OF_ZONE + 9)]
        assert BURST_OF_ZONE <= len(made.upstream.asked) < BURST_OF_ZONE + 9
        assert {answer.rcode() for answer in answers} == {dns.rcode.NOERROR}
        assert len(made.recorded(ServedStale)) == 1
        assert (await made.ask("other.evil.test")).rcode() == dns.rcode.REFUSED
        assert made.recorded(NameRefused) == []


async def test_without_rules_all_leaves() -> None:
    async with serving(says(rcode=dns.rcode.NXDOMAIN), timeouts=PATIENT) as made:
        for n in range(NAMES_OF_ZONE + 9):
            await made.ask(f"n{n}.evil.test", "NULL")
        assert len(made.upstream.asked) == NAMES_OF_ZONE + 9
