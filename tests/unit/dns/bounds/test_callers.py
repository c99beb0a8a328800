"""Who gives way to a further connection: the longest idle one, or the longest silent one."""

from relay.dns.bounds.callers import Caller, Callers


def test_the_longest_idle_one_gives_way() -> None:
    callers, ended = Callers(3), list[float]()

    def caller(since: float) -> Caller:
        return Caller(since, lambda: ended.append(since))

    made = [caller(float(number)) for number in range(5)]
    assert [callers.add(each) for each in made[:3]] == [False] * 3
    made[0].is_busy = lambda: True
    made[1].since = 2.5
    assert callers.add(made[3])
    assert ended == [2]
    callers.discard(made[2])
    callers.discard(made[3])
    assert not callers.add(made[3])
    for each in made:
        each.is_busy = lambda: True
    assert callers.add(made[4])
    assert ended == [2, 0]
