"""Whether resolvers answer: each is tried, all at once."""

import dns.rcode
import pytest
import trio

from relay.addresses import Destination
from relay.dns.lookup import trial
from relay.dns.lookup.trial import try_all
from tests.support.inprocess.fake_resolver import Script, says, silent, start


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (says(), "None"),
        (says(rcode=dns.rcode.NXDOMAIN), "None"),
        (says(rcode=dns.rcode.REFUSED), "None"),
        (says(rcode=dns.rcode.SERVFAIL), "answered SERVFAIL"),
        (silent, "no answer in 0.5 s"),
    ],
)
async def test_what_answers_works(nursery: trio.Nursery, script: Script, failure: str) -> None:
    server = (await start(nursery, script)).server
    failures = await try_all([server], 0.5)
    assert {one: str(error) for one, error in failures.items()} == {server: failure}


async def test_each_is_tried_whatever_the_others_do(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "INTERVAL", 0.01)
    mute, works = [await start(nursery, script) for script in (silent, says())]
    nobody = Destination("255.255.255.255", 53)
    failures = await try_all([mute.server, nobody, works.server], 0.5)
    assert list(failures) == [mute.server, nobody, works.server]
    assert [error is None for error in failures.values()] == [False, False, True]
    assert len(mute.asked) > 1, "a datagram may be lost"
