"""Rules hold for names whatever their octets are, wherever their CNAMEs lead, and whenever."""

import errno
import random
from collections.abc import Sequence

import dns.edns
import dns.message
import dns.name
import dns.rcode
import pytest
import trio

from netns.plan import OWN_ADDRESS
from relay.record.events import FurtherNames, NameForwarded, NameRefused, NamesBounded
from tests.support.command import program as at
from tests.support.command.driver import Program, inside
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.servers.zone import Query, Trouble
from tests.support.internet.wire import Capture
from tests.support.internet.world import SECOND, SERVER, Internet
from tests.support.pace import within

PORT = 80
DENYING = ("--deny", "*.evil.test")


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    for address in (SERVER, SECOND):
        await nursery.start(serve, echo, listen(internet.server, address, PORT))
    internet.zone.add("a.test", "CNAME", "b.test.", ttl=0)
    internet.zone.add("b.test", "CNAME", "x.evil.test.", ttl=0)
    for kind, value in (("A", SECOND), ("TXT", "text"), ("HTTPS", "1 . alpn=h2")):
        internet.zone.add("x.evil.test", kind, value, ttl=0)
    return Keepline(internet)


async def ask(
    program: Program, name: str | dns.name.Name, kind: str, over: str = "udp"
) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=0)
    answer = dns.message.from_wire(await program(at.ask, OWN_ADDRESS, query.to_wire(), over))
    assert query.is_response(answer)
    return answer


def explained(answer: dns.message.Message) -> list[tuple[int, str | None]]:
    return [(o.code, o.text) for o in answer.options if isinstance(o, dns.edns.EDEOption)]


async def test_an_alias_of_a_denied_name_is_denied(internet: Internet, keepline: Keepline) -> None:
    with Capture(internet.access) as capture:
        async with inside(keepline, DENYING) as program:
            for kind in ("A", "AAAA", "CNAME", "TXT", "HTTPS"):
                answer = await ask(program, "a.test", kind)
                if kind == "CNAME":  # it leads to b.test, which is not denied
                    assert answer.rcode() == dns.rcode.NOERROR
                    continue
                assert (answer.rcode(), answer.answer) == (dns.rcode.REFUSED, [])
                assert explained(answer) == [(15, "*.evil.test")]
            with pytest.raises(OSError):
                await program(at.look_up, "a.test")
            done = await program.session.end()
        assert {event.alias for event in done.all(NameRefused)} == {"x.evil.test"}
        assert not capture.packets(lambda packet: "IP" in packet and packet["IP"].dst == SECOND)


async def test_a_name_that_becomes_an_alias_of_a_denied_one_is_not_dialled(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.add("flip.test", "A", SERVER, ttl=0)
    with Capture(internet.access) as capture:
        async with inside(keepline, DENYING) as program:
            (address,) = await program(at.look_up, "flip.test")
            number = await program(at.open_connection, address, PORT)
            await program(at.close, number)
            internet.zone.remove("flip.test")
            internet.zone.add("flip.test", "CNAME", "x.evil.test.", ttl=0)
            with pytest.raises(OSError) as raised:
                await program(at.open_connection, address, PORT)
            assert raised.value.errno == errno.EHOSTUNREACH
        assert not capture.packets(lambda packet: "IP" in packet and packet["IP"].dst == SECOND)


LABELS: list[Sequence[bytes]] = [
    (b"$",), (b"\x01",), (b"a.b",), (b"a", b"\\"), (b"\xc4\xff",), (b'"',), (b"@ ;()",), (b"*",)
]  # fmt: skip


async def test_no_octet_takes_a_name_past_a_rule(internet: Internet, keepline: Keepline) -> None:
    chance = random.Random(7)
    with Capture(internet.access) as capture:
        async with inside(keepline, DENYING) as program:
            for labels in LABELS:
                for over in ("udp", "tcp"):
                    for kind in ("A", "TXT", "HTTPS"):
                        end = "".join(chance.choice((c, c.upper())) for c in "evil")
                        name = dns.name.Name((*labels, end.encode(), b"tEst", b""))
                        answer = await ask(program, name, kind, over)
                        assert answer.rcode() == dns.rcode.REFUSED, (name, kind, over)
        assert not capture.packets(lambda packet: b"evil" in bytes(packet).lower())
    assert internet.zone.queries == []


async def test_unanswered_lookups_of_some_zones_silence_no_other(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.trouble = Trouble(silent=True)
    internet.zone.set_trouble("server.test", Trouble())
    names = [f"n{number}.slow{number % 8}.test" for number in range(4096)]
    queries = [dns.message.make_query(name, "A").to_wire() for name in names]
    async with inside(keepline) as program:
        local = dns.message.make_query("localhost", "A").to_wire()
        await program(at.leave_waiting, OWN_ADDRESS, queries, local)
        await program(at.look_up, "server.test")
        assert within(program.seconds, 5)
        number = await program(at.open_connection, "server.test", PORT)
        await program(at.close, number)
        assert within(program.seconds, 5)
        done = await program.session.end()
    bounded = {event.zone for event in done.all(NamesBounded)}
    assert bounded == {f"slow{number}.test" for number in range(8)}


async def test_what_leaves_is_in_the_record(internet: Internet, keepline: Keepline) -> None:
    async with inside(keepline) as program:
        for number in range(200):
            await ask(program, f"{number:03}{'x' * 49}.{'y' * 49}.evil.test", "TXT")
        done = await program.session.end()
    assert len(done.all(NameForwarded)) == 64
    assert done.all(FurtherNames)[-1].text() == (
        "names of evil.test: more of them forwarded; 136 times so far"
    )


async def test_with_allow_rules_little_leaves_in_questions(
    internet: Internet, keepline: Keepline
) -> None:
    options = ["--allow", "*.evil.test", "--allow", "server.test"]
    async with inside(keepline, options) as program:
        for number in range(200):
            await ask(program, f"{number}.evil.test", "TXT")
        answer = await ask(program, f"{'x' * 60}.evil.test", "A")
        assert answer.rcode() == dns.rcode.REFUSED
        assert [code for code, _text in explained(answer)] == [17]
        assert (await ask(program, "y.evil.test", "NULL")).rcode() == dns.rcode.REFUSED
        await program(at.look_up, "server.test")
        done = await program.session.end()
    left = {query for query in internet.zone.queries if query.name.endswith("evil.test")}
    assert len(left) == 128
    assert "What changes it: --allow NAME" in done.stderr
    assert Query("y.evil.test", "NULL", "udp") not in left


async def test_ech_is_removed_with_allow_rules(internet: Internet, keepline: Keepline) -> None:
    internet.zone.add("server.test", "HTTPS", '1 . mandatory="alpn,ech" alpn="h2" ech="AAQBAgME"')
    for options, kept in (
        ((), '1 . mandatory="alpn,ech" alpn="h2" ech="AAQBAgME"'),
        (("--allow", "server.test"), '1 . mandatory="alpn" alpn="h2"'),
    ):
        async with inside(keepline, options) as program:
            [record] = (await ask(program, "server.test", "HTTPS")).answer[0]
            assert record.to_text() == kept


PROGRAMS = {
    "glibc": ["getent", "ahosts", "evil.test"],
    "curl": ["curl", "-sS", "http://evil.test/"],
    "c-ares": ["node", "-e", "require('dns').resolve4('evil.test', e => console.log(e?.code))"],
    "node": ["node", "-e", "require('dns').lookup('evil.test', e => console.log(e?.code))"],
    "bun": ["bun", "-e", "await fetch('http://evil.test').catch(e => console.log(e.code))"],
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("edns", ["", "options edns0\n"])
async def test_an_explained_refusal_is_a_refusal_to_programs(
    internet: Internet, keepline: Keepline, program: str, edns: str
) -> None:
    """As bare, where the resolver refuses the name."""
    with internet.client.resolv_conf.open("a") as file:
        file.write(edns)
    internet.zone.set_trouble("evil.test", Trouble(rcode=dns.rcode.REFUSED))
    command, *words = PROGRAMS[program]
    argv = [needs(command), *words]
    bare = await keepline.host.run_process(argv, check=False)
    done = await keepline.run(*argv, options=["--deny", "evil.test"], check=False)
    assert (done.status, done.stdout) == (bare.returncode, bare.stdout)
    assert done.all(NameRefused)
