"""Who asks again although there was an answer, and who does so in the ordinary way."""

import pytest

from relay.dns.insistence import KEPT, MOST, Insistence


@pytest.mark.parametrize(
    ("asks", "refusals", "is_insistent"),
    [
        ([0], [0.1], False),
        ([0, 5], [0.1], True),
        ([0, 0.1, 0.2, 5], [0.1, 0.15, 0.3], True),
        ([0, 0.2, 0.4, 0.6, 0.8], [0.1, 0.3, 0.5, 0.7], False),
        ([0, 4, 8, 12, 16], [3.9, 7.9, 11.9, 15.9], False),
        ([0, 5], [], True),
        ([0, 30], [], False),
        ([0, 0.1], [], False),
        ([0, 5, KEPT + 5], [], False),
    ],
    ids=[
        *("once", "musl at REFUSED", "musl at SERVFAIL", "glibc, five times"),
        *("glibc, of slow refusals", "musl in silence", "glibc in silence", "a copy"),
        "another program much later",
    ],
)
def test_insistence(asks: list[float], refusals: list[float], is_insistent: bool) -> None:
    insistence = Insistence()
    for now, is_ask in sorted([(at, True) for at in asks] + [(at, False) for at in refusals]):
        if is_ask:
            insistence.asked("a", now)
        else:
            assert not insistence.refused("a", now)
    insistence.asked("b", asks[-1])
    assert insistence.refused("a", asks[-1] + 0.05) is is_insistent
    assert not insistence.refused("b", asks[-1] + 0.05)


def test_the_oldest_makes_room() -> None:
    insistence = Insistence()
    for number in range(MOST + 1):
        insistence.asked(number, 0)
    for number, is_known in ((0, False), (MOST, True)):
        insistence.asked(number, 5)
        assert insistence.refused(number, 5) is is_known
    assert not insistence.refused("never asked", 5)
