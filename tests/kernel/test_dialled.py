"""Policy judges each address that is dialled, whoever dials it and however often."""

from collections.abc import Callable
from typing import Any

import pytest
import trio

from relay.record.events import (
    AddressDenied,
    ConnectionDenied,
    ConnectionOpened,
    Dialled,
    PolicyChangeIgnored,
    PolicyTightened,
)
from relay.record.kinds import Kind
from tests.support.command import program as at
from tests.support.command.asking import NAME, TLS, URL, answers, ask, keepline_of
from tests.support.command.driver import inside
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.broken import reset_after
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.wire import Capture
from tests.support.internet.world import SECOND, SERVER, THIRD, Internet
from tests.support.pace import patience

ECHO = 7
DENIED = "203.0.113.8/30"
"""The network of SERVER and SECOND, and not of THIRD."""


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    """Return keepline; an echo listens at all three addresses."""
    for address in (SERVER, SECOND, THIRD):
        await nursery.start(serve, echo, listen(internet.server, address, ECHO))
    internet.zone.add("inner.test", "A", SECOND)
    internet.zone.add("alias.test", "CNAME", "inner.test.")
    return Keepline(internet)


def to(address: str) -> Callable[[Any], bool]:
    """Return whether a packet goes there."""
    return lambda packet: "IP" in packet and packet["IP"].dst == address


@pytest.mark.parametrize(
    ("name", "options", "rule"),
    [
        ("inner.test", ["--deny", DENIED], DENIED),
        ("inner.test", ["--deny", SECOND], SECOND),
        ("inner.test", ["--deny", f"{SECOND}:{ECHO}"], f"{SECOND}:{ECHO}"),
        ("alias.test", ["--deny", DENIED], DENIED),
        ("inner.test", ["--allow", "*", "--deny", DENIED], DENIED),
        ("inner.test", ["--allow", SERVER], "no allow rule matches"),
        ("inner.test", ["--allow", f"{SERVER},server.test"], "no allow rule matches"),
    ],
)
async def test_a_name_does_not_lead_where_its_address_may_not(
    internet: Internet, keepline: Keepline, name: str, options: list[str], rule: str
) -> None:
    with Capture(internet.access) as capture:
        async with inside(keepline, options) as program:
            assert await program(at.refused, name, ECHO) == "EHOSTUNREACH"
            done = await program.session.end()
        assert capture.packets(to(SECOND)) == []
    denied = done.only(ConnectionDenied)
    assert (denied.kind, denied.rule, denied.address) == (Kind.POLICY, rule, SECOND)
    assert done.only(ConnectionOpened).name == name
    assert done.all(Dialled) == []


@pytest.mark.parametrize("options", [["--allow", SERVER], ["--allow", "203.0.113.0/24"]])
async def test_a_network_that_is_allowed_is_so_for_the_names_in_it(
    keepline: Keepline, options: list[str]
) -> None:
    async with inside(keepline, options) as program:
        number = await program(at.open_connection, "v4.test", ECHO)
        await program(at.send, number, b"?")
        assert await program(at.receive, number, 1) == b"?"
        done = await program.session.end()
    assert done.only(Dialled).address == SERVER


async def test_of_the_addresses_of_a_name_those_that_may_be_are_dialled(
    internet: Internet, keepline: Keepline
) -> None:
    with Capture(internet.access) as capture:
        async with inside(keepline, ["--deny", SECOND]) as program:
            number = await program(at.open_connection, "two.test", ECHO)
            await program(at.send, number, b"?")
            assert await program(at.receive, number, 1) == b"?"
            done = await program.session.end()
        assert capture.packets(to(SECOND)) == []
    denied = done.only(AddressDenied)
    assert (denied.address, denied.rule) == (SECOND, SECOND)
    assert done.only(Dialled).address == THIRD


async def test_a_name_that_is_bound_anew_is_judged_anew(
    internet: Internet, keepline: Keepline
) -> None:
    internet.zone.add("flip.test", "A", THIRD, ttl=0)
    with Capture(internet.access) as capture:
        async with inside(keepline, ["--deny", DENIED]) as program:
            (synthetic,) = set(await program(at.look_up, "flip.test"))
            number = await program(at.open_connection, synthetic, ECHO)
            await program(at.send, number, b"?")
            assert await program(at.receive, number, 1) == b"?"
            internet.zone.add("flip.test", "A", SECOND, ttl=0)
            assert await program(at.refused, synthetic, ECHO) == "EHOSTUNREACH"
            done = await program.session.end()
        assert capture.packets(to(SECOND)) == []
    assert done.only(ConnectionDenied).address == SECOND


async def test_a_dial_after_a_loss_is_judged_too(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    """THIRD resets each connection before its first byte; the name's other address is denied."""
    await nursery.start(serve, reset_after(0), listen(internet.server, THIRD, 443))
    await nursery.start(serve, echo, listen(internet.server, SECOND, 443))
    with Capture(internet.access) as capture:
        async with inside(keepline, ["--deny", SECOND]) as program:
            assert await program(at.handshake, "two.test", 443) != "done"
            await program.session.end()
        assert len(capture.packets(lambda packet: to(THIRD)(packet) and _is_syn(packet))) > 1
        assert capture.packets(to(SECOND)) == []


def _is_syn(packet: Any) -> bool:
    return "TCP" in packet and packet["TCP"].flags == "S"


async def test_the_gateway_dials_no_denied_address_either(
    internet: Internet, nursery: trio.Nursery
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, 443))
    keepline = keepline_of(internet, internet.authority)
    with Capture(internet.access) as capture:
        words = ask("bun", "GET", f"{URL}/v1/models")
        done = await keepline.run(*words, options=[*TLS, "--deny", DENIED])
        assert capture.packets(to(SERVER)) == []
    (answer,) = answers(done)
    assert answer.error is not None
    denied = done.all(ConnectionDenied)[0]
    assert (denied.rule, denied.address) == (DENIED, SERVER)
    assert {event.name for event in done.all(ConnectionOpened)} == {NAME}


async def test_a_synthetic_address_that_stands_for_no_name_of_the_session_leads_nowhere(
    internet: Internet, keepline: Keepline
) -> None:
    """It is guessed, or kept from another session, in which it stood for a name."""
    async with inside(keepline) as program:
        (kept,) = set(await program(at.look_up, "server.test"))
        await program.session.end()
    with Capture(internet.access) as capture:
        for options in ([], ["--allow", "*"], ["--deny", "server.test"], ["--allow", "v4.test"]):
            async with inside(keepline, options) as program:
                for address in (kept, "198.18.77.77", "198.19.255.254"):
                    assert await program(at.refused, address, ECHO) == "EHOSTUNREACH"
                done = await program.session.end()
            assert {event.kind for event in done.all(ConnectionDenied)} == {Kind.UNDIALABLE}
        assert capture.packets(lambda packet: "TCP" in packet) == []


async def test_a_name_on_the_hosts_loopback_is_denied(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery
) -> None:
    """After its flip: at first the name is answered by another address, so that it is dialled."""
    await nursery.start(serve, echo, listen(internet.client, "127.0.0.1", ECHO))
    internet.zone.add("flip.test", "A", THIRD, ttl=0)
    async with inside(keepline) as program:
        (synthetic,) = set(await program(at.look_up, "flip.test"))
        for address in ("127.0.0.1", "127.9.9.9", "0.0.0.0"):
            internet.zone.add("flip.test", "A", address, ttl=0)
            assert await program(at.refused, synthetic, ECHO) == "EHOSTUNREACH"
        done = await program.session.end()
    assert done.all(Dialled) == []


async def test_a_rule_that_is_added_while_the_session_runs_holds_within_a_second(
    internet: Internet, keepline: Keepline
) -> None:
    """For new connections, whoever wrote it; what is denied is not allowed by another change."""
    keepline.config.write_text("keepidle = 9\n")
    async with inside(keepline) as program:
        number = await program(at.open_connection, "inner.test", ECHO)
        keepline.config.write_text(f'[policy]\ndeny = [{{host = "{DENIED}", reason = "test"}}]\n')
        with trio.fail_after(patience(1)):
            await program.session.until(PolicyTightened)
        with Capture(internet.access) as capture:
            assert await program(at.refused, "inner.test", ECHO) == "EHOSTUNREACH"
            assert await program(at.refused, SERVER, ECHO) == "EHOSTUNREACH"
            assert capture.packets(lambda packet: to(SECOND)(packet) and _is_syn(packet)) == []
        await program(at.send, number, b"?")
        assert await program(at.receive, number, 1) == b"?"
        keepline.config.write_text("")
        await program.session.until(PolicyChangeIgnored)
        assert await program(at.refused, SERVER, ECHO) == "EHOSTUNREACH"
        done = await program.session.end()
    assert {event.reason for event in done.all(ConnectionDenied)} == {"test"}
    assert "what was denied stays so" in done.stderr
    assert len(done.stderr.splitlines()) == 1
