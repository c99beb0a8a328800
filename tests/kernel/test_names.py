"""Names mean inside what they mean outside, but for IPv6; their addresses are the relay's own."""

import errno
import random
import socket
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.reversename
import pytest
import trio

from netns.plan import OWN_ADDRESS
from relay.record.events import NameAssigned, ResolversChanged, ResolverSilent, ServedStale
from tests.support.command import program as at
from tests.support.command.driver import Program, bare, inside
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet import faults
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.zone import Query, Trouble
from tests.support.internet.world import (
    NAMES,
    OTHER_NAMES,
    SECOND,
    SERVER,
    SERVER_V6,
    THIRD,
    Internet,
)
from tests.support.pace import within

PORT = 80
AT_ONCE = 0.2
SILENT = Trouble(silent=True)


async def tell_own_address(stream: trio.SocketStream) -> None:
    await stream.send_all(str(stream.socket.getsockname()[0]).encode())


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    """Return keepline, and servers that tell which address they were reached at."""
    addresses = (SERVER, SECOND, THIRD, SERVER_V6)
    listeners = [listen(internet.server, address, PORT) for address in addresses]
    await nursery.start(serve, tell_own_address, *listeners)
    return Keepline(internet)


async def reached(program: Program, host: str) -> str:
    """Connect, and tell which server it was."""
    number = await program(at.open_connection, host, PORT)
    told, _end = await program(at.receive_to_end, number)
    await program(at.close, number)
    return told.decode()


def is_synthetic(address: str) -> bool:
    return address.startswith(("198.18.", "198.19."))


async def ask(
    program: Program, name: str, kind: str, over: str = "udp", **options: Any
) -> dns.message.Message:
    """Have the program ask its name server, without libc."""
    query = dns.message.make_query(name, kind, **options)
    answer = dns.message.from_wire(await program(at.ask, OWN_ADDRESS, query.to_wire(), over))
    assert query.is_response(answer)
    return answer


async def failure(program: Program, name: str, family: int = 0) -> int | None:
    """Return with which code of getaddrinfo(3) a lookup fails."""
    with pytest.raises(socket.gaierror) as raised:
        await program(at.look_up, name, family)
    return raised.value.errno


# Addresses


async def test_a_name_has_one_synthetic_address_all_session_long(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.add("short.test", "A", SECOND, ttl=0)
    async with inside(keepline) as program:
        addresses = {
            name: await program(at.look_up, name) for name in ("server.test", "short.test")
        }
        assert all(len(found) == 1 and is_synthetic(found[0]) for found in addresses.values())
        assert addresses["server.test"] != addresses["short.test"]
        assert await reached(program, "server.test") == SERVER
        assert await reached(program, addresses["short.test"][0]) == SECOND
        internet.zone.add("short.test", "A", THIRD, ttl=0)
        assert await program(at.look_up, "SHORT.test.") == addresses["short.test"]
        assert await reached(program, addresses["short.test"][0]) == THIRD
        assert await reached(program, "two.test") in {SECOND, THIRD}
        done = await program.session.end()
    assert [(event.name, [event.address]) for event in done.all(NameAssigned)][:2] == list(
        addresses.items()
    )


async def test_what_the_hosts_resolver_calls_authentic_is_passed_on(
    internet: Internet, keepline: Keepline
) -> None:
    """With `trust-ad` in the host's resolv.conf, ssh believes an SSHFP record that is."""

    def authentic(answer: bytes) -> bytes:
        return answer[:3] + bytes([answer[3] | dns.flags.AD]) + answer[4:]

    internet.zone.trouble = Trouble(spoil=authentic)
    internet.zone.add("server.test", "SSHFP", "4 2 " + "ab" * 32)
    async with inside(keepline) as program:
        for kind, is_authentic in (("SSHFP", True), ("A", False)):
            answer = await ask(program, "server.test", kind, flags=dns.flags.RD | dns.flags.AD)
            assert answer.answer
            assert bool(answer.flags & dns.flags.AD) is is_authentic
        plain = await ask(program, "server.test", "SSHFP")
        assert not plain.flags & dns.flags.AD


async def test_an_ipv6_only_name_has_no_addresses(keepline: Keepline) -> None:
    async with inside(keepline) as program:
        for name in ("v6.test", "server.test"):
            answer = await ask(program, name, "AAAA")
            assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
        assert await failure(program, "v6.test", socket.AF_INET) == socket.EAI_NODATA
        assert await failure(program, "v6.test") == socket.EAI_NODATA


async def test_a_dual_stack_name_is_reached_though_its_ipv6_is_a_black_hole(
    internet: Internet, keepline: Keepline
) -> None:
    with faults.drop(internet.router, Packets(version=6, destination=SERVER_V6)) as hole:
        async with inside(keepline) as program:
            assert await reached(program, "server.test") == SERVER
            assert within(program.seconds, AT_ONCE)
        assert hole.hits() == 0


async def test_getent_shows_what_libc_gives(keepline: Keepline) -> None:
    done = await keepline.run(needs("getent"), "ahosts", "server.test")
    (address,) = {line.split()[0] for line in done.stdout.decode().splitlines()}
    assert is_synthetic(address)


async def test_real_addresses_on_demand(keepline: Keepline) -> None:
    async with inside(keepline, ["--dns", "real"]) as program:
        assert await program(at.look_up, "server.test") == [SERVER]
        assert sorted(await program(at.look_up, "two.test")) == [SECOND, THIRD]
        assert await reached(program, "server.test") == SERVER
        assert await reached(program, "two.test") in {SECOND, THIRD}


async def test_hundreds_of_lookups_at_once_are_all_answered_at_once(keepline: Keepline) -> None:
    async with inside(keepline) as program:
        found = await program(at.look_up_at_once, "server.test", 300)
        assert all(addresses == found[0] for addresses in found)
        assert within(program.seconds, 4), "libc has asked again"


# The same as outside


async def test_aliases_end_at_the_same_canonical_name(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.add("alias.test", "CNAME", "other.test.")
    internet.zone.add("other.test", "CNAME", "server.test.")
    async with inside(keepline) as kept, bare(internet.client) as outside:
        names = [await program(at.canonical_name, "alias.test") for program in (kept, outside)]
        assert names == ["server.test"] * 2
        assert await reached(kept, "alias.test") == SERVER


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNSPEC])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("no.test", socket.EAI_NONAME),
        ("text.test", socket.EAI_NODATA),
        ("dangling.test", socket.EAI_NONAME),
    ],
)
async def test_a_lookup_fails_as_outside(
    internet: Internet, keepline: Keepline, name: str, code: int, family: int
) -> None:
    internet.zone.add("text.test", "TXT", "nothing else")
    internet.zone.add("dangling.test", "CNAME", "no.test.")
    async with inside(keepline) as kept, bare(internet.client) as outside:
        assert await failure(outside, name, family) == code
        assert await failure(kept, name, family) == code


async def test_a_name_that_resolvers_cannot_find_is_told_at_once(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.set_trouble("broken.test", Trouble(rcode=dns.rcode.SERVFAIL))
    async with inside(keepline) as program:
        for kind in ("A", "AAAA", "TXT", "HTTPS", "SRV", "MX", "PTR"):
            assert (await ask(program, "broken.test", kind)).rcode() == dns.rcode.SERVFAIL
            assert within(program.seconds, AT_ONCE)
    assert Query("broken.test", "A", "udp") in internet.zone.queries
    assert Query(".", "NS", "udp") in internet.zone.queries, "before any name has resolved"


async def test_search_domains_hosts_file_and_localhost_are_as_outside(
    internet: Internet, keepline: Keepline
) -> None:
    internet.client.resolv_conf.write_text(f"search nowhere.test test\nnameserver {NAMES}\n")
    with internet.client.hosts_file.open("a") as hosts:
        hosts.write(f"{THIRD} listed.example listed\n")
    async with inside(keepline) as kept, bare(internet.client) as outside:
        for name in ("listed", "listed.example", "localhost", "127.0.0.1", SECOND):
            assert await kept(at.look_up, name) == await outside(at.look_up, name)
        assert await kept(at.name_of, THIRD) == await outside(at.name_of, THIRD)
        (address,) = await kept(at.look_up, "server")
        assert is_synthetic(address)
        assert await kept(at.look_up, "server.test") == [address]
        assert [await reached(kept, name) for name in ("server", "listed")] == [SERVER, THIRD]
        assert await failure(kept, "no") == await failure(outside, "no")


async def test_a_synthetic_address_has_its_names_name(keepline: Keepline) -> None:
    async with inside(keepline) as program:
        (address,) = await program(at.look_up, "server.test")
        assert await program(at.name_of, address) == "server.test"
        reverse = str(dns.reversename.from_address("198.19.255.255"))
        assert (await ask(program, reverse, "PTR")).rcode() == dns.rcode.NXDOMAIN


async def test_other_records_come_through_without_address_hints(
    internet: Internet, keepline: Keepline
) -> None:
    hints = f"ipv4hint={SERVER} ipv6hint={SERVER_V6}"
    internet.zone.add("server.test", "HTTPS", f"1 . alpn=h2 {hints}")
    internet.zone.add("server.test", "MX", "10 mail.test.")
    internet.zone.add("server.test", "TYPE65280", r"\# 3 010203")
    async with inside(keepline) as program:
        https = await ask(program, "server.test", "HTTPS")
        assert [record.to_text() for record in https.answer[0]] == ['1 . alpn="h2"']
        mail = await ask(program, "server.test", "MX")
        assert mail.answer[0][0].to_text() == "10 mail.test."
        unknown = await ask(program, "server.test", "TYPE65280")
        assert unknown.answer[0][0].to_text() == r"\# 3 010203"


async def test_a_large_answer_comes_over_tcp_after_truncation(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.add_large("large.test", 4096)
    async with inside(keepline) as program:
        plain = await ask(program, "large.test", "TXT")
        usual = await ask(program, "large.test", "TXT", use_edns=0, payload=1232)
        for short in (plain, usual):
            assert short.flags & dns.flags.TC
            assert short.answer == []
        whole = await ask(program, "large.test", "TXT", "tcp")
        roomy = await ask(program, "large.test", "TXT", use_edns=0, payload=8192)
    strings = internet.zone.answer(dns.message.make_query("large.test", "TXT")).answer[0]
    assert sum(len(record.strings[0]) for record in strings) == 4000
    assert whole.answer == roomy.answer == [strings]


# Resolvers


async def test_the_next_resolver_answers_for_a_silent_one(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.trouble = SILENT
    internet.client.use_resolvers(NAMES, OTHER_NAMES)
    async with inside(keepline) as program:
        answer = await ask(program, "server.test", "A")
        assert is_synthetic(answer.answer[0][0].address)
        assert program.seconds > 1.9
        assert within(program.seconds, 2.5)
        assert await reached(program, "server.test") == SERVER
        done = await program.session.end()
    assert done.only(ResolverSilent).server == NAMES


async def test_the_relay_serves_all_others_while_a_resolver_is_silent(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.set_trouble("silent.test", SILENT)
    slow = dns.message.make_query("silent.test", "A").to_wire()
    quick = [dns.message.make_query(f"n{n}.test", "A").to_wire() for n in range(20)]
    async with inside(keepline, ["--patience", "1"]) as program:
        *others, last = await program(at.ask_beside, OWN_ADDRESS, slow, quick)
        assert within(max(others), AT_ONCE)
        assert last > 5
        assert within(last, 11)
        assert await reached(program, "server.test") == SERVER


async def test_a_known_name_outlives_its_resolvers(internet: Internet, keepline: Keepline) -> None:
    internet.zone.add("short.test", "A", SECOND, ttl=0)
    async with inside(keepline) as program:
        addresses = await program(at.look_up, "short.test")
        internet.zone.trouble = SILENT
        assert await program(at.look_up, "short.test") == addresses
        assert within(program.seconds, 2.5)
        assert await reached(program, "short.test") == SECOND
        done = await program.session.end()
    assert {event.name for event in done.all(ServedStale)} == {"short.test"}


async def test_a_change_of_the_hosts_resolv_conf_is_followed(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone_of_other.add("new.test", "A", SECOND)
    internet.zone_of_other.add("server.test", "A", THIRD)
    async with inside(keepline) as program:
        assert await reached(program, "server.test") == SERVER
        assert await failure(program, "new.test") == socket.EAI_NONAME
        internet.client.use_resolvers(OTHER_NAMES)
        assert await reached(program, "new.test") == SECOND
        assert await reached(program, "server.test") == THIRD
        done = await program.session.end()
    assert done.only(ResolversChanged).resolvers == [OTHER_NAMES]
    assert Query("new.test", "A", "udp") in internet.zone_of_other.queries


async def test_resolvers_of_the_settings_come_before_the_hosts(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone_of_other.add("server.test", "A", THIRD)
    internet.client.use_resolvers("192.0.2.1")
    async with inside(keepline, ["--nameservers", OTHER_NAMES]) as program:
        assert await reached(program, "server.test") == THIRD
    assert internet.zone.queries == []


async def test_a_name_that_is_gone_when_it_is_dialled_is_told_at_once(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.add("short.test", "A", SECOND, ttl=0)
    async with inside(keepline) as program:
        (address,) = await program(at.look_up, "short.test")
        internet.zone.remove("short.test")
        with pytest.raises(OSError) as raised:
            await program(at.open_connection, address, PORT)
        assert raised.value.errno == errno.EHOSTUNREACH
        assert within(program.seconds, AT_ONCE)


async def test_a_name_that_is_gone_is_told_though_its_old_address_is_still_dialled(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.add("moved.test", "A", "198.51.100.7", ttl=3600)
    async with inside(keepline) as program:
        (address,) = await program(at.look_up, "moved.test")
        internet.zone.remove("moved.test")
        with pytest.raises(OSError) as raised:
            await program(at.open_connection, address, PORT)
        assert raised.value.errno == errno.EHOSTUNREACH
        assert within(program.seconds, 5), "one round of dialling"


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"])
async def test_a_name_with_an_address_of_no_other_host_is_as_outside(
    internet: Internet, keepline: Keepline, address: str
) -> None:
    internet.zone.add("odd.test", "A", address)
    async with inside(keepline) as kept, bare(internet.client) as outside:
        for program in (outside, kept):
            assert await program(at.look_up, "odd.test") == [address]
        numbers = []
        for program in (outside, kept):
            with pytest.raises(OSError) as raised:
                await program(at.open_connection, "odd.test", 81)
            numbers.append(raised.value.errno)
            assert within(program.seconds, AT_ONCE)
        assert numbers[0] == numbers[1]


@pytest.mark.parametrize("name", ["198.51.100.9.", "0x7f.1.", "127.1.", "4711."])
async def test_a_name_that_looks_like_an_address_is_a_name(
    internet: Internet, keepline: Keepline, name: str
) -> None:
    internet.zone.add(name, "A", SERVER)
    async with inside(keepline) as kept, bare(internet.client) as outside:
        assert await outside(at.look_up, name) == [SERVER]
        assert await reached(outside, name) == SERVER
        assert await reached(kept, name) == SERVER


async def test_an_unassigned_synthetic_address_is_prohibited(keepline: Keepline) -> None:
    async with inside(keepline) as program:
        with pytest.raises(OSError) as raised:
            await program(at.open_connection, "198.19.1.1", PORT)
        assert raised.value.errno == errno.EHOSTUNREACH
        assert within(program.seconds, AT_ONCE)


# Junk


@pytest.mark.parametrize("over", ["udp", "tcp"])
async def test_a_thousand_random_packets_leave_it_answering(
    internet: Internet, keepline: Keepline, over: str
) -> None:
    seed = random.Random(over).randrange(1 << 32)
    kinds = ("A", "AAAA", "HTTPS", "TXT", "PTR", "ANY", "SOA")
    queries = [
        dns.message.make_query("localhost", "A"),
        *(dns.message.make_query("server.test", kind) for kind in kinds),
        *(dns.message.make_query("two.test", kind, use_edns=0, want_dnssec=True) for kind in kinds),
    ]
    async with inside(keepline) as program:
        wires = [query.to_wire() for query in queries]
        assert await program(at.send_junk, OWN_ADDRESS, over, wires, seed, 1000) == 100
        assert await reached(program, "server.test") == SERVER
        done = await program.session.end()
    assert (done.status, done.stderr) == (0, "")
