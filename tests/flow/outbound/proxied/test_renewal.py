"""Credentials that change: the command that prints them is run again, seldom, for all at once."""

import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.command.signals import catchable
from relay.outbound.patience import DialError
from relay.outbound.proxied import renewal
from relay.outbound.proxied.renewal import PAUSE, NoOthersError, Renewal
from relay.proxies.url import Credentials, parse
from relay.record.kinds import Kind
from relay.sidecar.draining import reap
from tests.flow.outbound.proxied.test_dialer import BANNER, REQUEST, forwarded, proxied
from tests.support.pace import patience

OLD = Credentials(b"me", b"old")
PROXY = parse("http://me:old@proxy.test")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("me:new\n")
    return path


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_others_are_asked_for_once_a_proxy_refuses(scheme: str, token: Path) -> None:
    async with proxied(scheme, user="me:old@") as (proxy, made):
        made.renewal = Renewal(["cat", str(token)])
        made.use_direct()
        proxy.credentials = "me:new"
        assert await made.banner() == BANNER
        asked = len(proxy.asked)
        assert await made.banner() == BANNER
        assert len(proxy.asked) == asked + 1


async def test_a_request_that_is_forwarded_and_refused_has_others_asked_for(token: Path) -> None:
    """It is passed on what the proxy says, as it cannot be asked again; the next one is known."""
    async with proxied(user="me:old@") as (proxy, made):
        made.renewal = Renewal(["cat", str(token)])
        made.use_direct()
        proxy.credentials, proxy.forwards = "me:old", True
        assert (await forwarded(made, REQUEST, b"dy"))[0].endswith(b"\r\n\r\nbody")
        proxy.credentials = "me:new"
        assert (await forwarded(made, REQUEST))[0].startswith(b"HTTP/1.1 407 ")
        with trio.fail_after(patience(10)):
            while made.renewal.of(PROXY) == OLD:  # noqa: ASYNC110 - the command runs
                await trio.sleep(0.01)
        assert (await forwarded(made, REQUEST, b"dy"))[0].endswith(b"\r\n\r\nbody")


async def test_all_that_are_refused_share_one_run(token: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    script = f"echo x >> {ran}; cat {token}"
    async with proxied(user="me:old@") as (proxy, made):
        made.renewal = Renewal(["sh", "-c", script])
        made.use_direct()
        proxy.credentials = "me:new"
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(made.banner)
    assert ran.read_text() == "x\n"


async def test_it_is_run_once_a_minute_at_most(
    token: Path, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.2  # what runs has no place on this clock
    async with proxied(user="me:old@") as (proxy, made):
        made.renewal = Renewal(["cat", str(token)])
        made.use_direct()
        proxy.credentials = "me:newer"
        with pytest.raises(DialError, match="the proxy wants credentials"):
            await made.banner()
        token.write_text("me:newer")  # noqa: ASYNC240 - a few bytes
        with pytest.raises(DialError, match="again less than a minute ago") as told:
            await made.banner()
        assert told.value.kind is Kind.PROXY_CREDENTIALS
        assert "newer" not in told.value.cause
        await trio.sleep(PAUSE)
        assert await made.banner() == BANNER


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo me:old", "prints the same as before"),
        ("echo secret", "not one line with a colon"),
        ("echo me:secret; exit 1", "it has failed"),
        ("yes secret", "it prints too much"),
    ],
)
async def test_why_there_are_no_others(script: str, why: str) -> None:
    made = Renewal(["sh", "-c", script])
    with pytest.raises(NoOthersError, match=why) as told:
        await made.renew(PROXY, OLD)
    assert "secret" not in str(told.value)


async def test_there_may_be_no_command_or_it_may_not_run_again() -> None:
    with pytest.raises(NoOthersError, match=r"^$"):
        await Renewal().renew(PROXY, OLD)
    with pytest.raises(NoOthersError, match="for a reason"):
        await Renewal(["echo", "me:new"], "for a reason").renew(PROXY, OLD)
    with pytest.raises(NoOthersError, match="No such file"):
        await Renewal(["/no/such/program"]).renew(PROXY, OLD)


async def test_it_has_none_of_the_signals_blocked_that_the_relay_reads() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, catchable())
    try:
        made = Renewal(["sh", "-c", "sleep 600 & kill $!; wait; echo me:new"])
        await made.renew(PROXY, OLD)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert made.of(PROXY) == Credentials(b"me", b"new")


async def test_the_first_process_of_a_container_may_have_reaped_it() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reap_for_ever)
        made = Renewal(["echo", "me:new"])
        await made.renew(PROXY, OLD)
        nursery.cancel_scope.cancel()
    assert made.of(PROXY) == Credentials(b"me", b"new")


async def reap_for_ever() -> None:
    while True:
        reap()
        await trio.lowlevel.checkpoint()


async def test_one_that_does_not_end_is_killed_with_what_it_has_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setattr(renewal, "SECONDS", 0.5)
    made = Renewal(["sh", "-c", f"exec 3> {fifo}; sleep 600 & wait"])
    async with trio.lowlevel.FdStream(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)) as held:
        with pytest.raises(NoOthersError, match="no end within"):
            await made.renew(PROXY, OLD)
        with trio.fail_after(10):
            assert await held.receive_some() == b""  # nobody holds its other end
