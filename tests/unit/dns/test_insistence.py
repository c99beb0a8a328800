"""Who asks again although there was an answer."""

from relay.dns.insistence import KEPT, LEAST, MOST, Insistence


def test_what_is_asked_again_later_is_asked_with_insistence() -> None:
    insistence = Insistence()
    insistence.asked("a", 0)
    assert not insistence.is_insistent("a")
    insistence.asked("a", LEAST / 2)
    assert not insistence.is_insistent("a"), "at once once more"
    insistence.asked("b", 1)
    insistence.asked("a", 5)
    assert insistence.is_insistent("a")
    assert not insistence.is_insistent("b")


def test_a_number_and_a_port_may_be_another_programs_later() -> None:
    insistence = Insistence()
    insistence.asked("a", 0)
    insistence.asked("a", 1)
    insistence.asked("a", KEPT)
    assert not insistence.is_insistent("a")


def test_the_oldest_makes_room() -> None:
    insistence = Insistence()
    for number in range(MOST + 1):
        insistence.asked(number, 0)
    insistence.asked(0, 1)
    insistence.asked(MOST, 1)
    assert not insistence.is_insistent(0)
    assert insistence.is_insistent(MOST)
