"""Copies of SYNs that had no place: few of them take another's."""

from relay.addresses import Endpoint
from relay.inbound.held.answered import Ends
from relay.inbound.held.returning import MOST, RETURNS, Returning

TO: Endpoint = ("203.0.113.5", 443)


def ends(port: int) -> Ends:
    return ("10.0.0.1", port), TO


def test_a_new_connect_may_always() -> None:
    returning = Returning()
    returning.note(ends(1), 7)
    for port in range(2, RETURNS * 3):
        assert returning.may_displace(ends(port), 7)
    assert returning.may_displace(ends(1), 8)


def test_some_copies_may_in_each_turn() -> None:
    returning = Returning()
    for port in range(RETURNS + 1):
        returning.note(ends(port), 7)
    for _ in range(2):
        told = [returning.may_displace(ends(port), 7) for port in range(RETURNS + 1)]
        assert told == [True] * RETURNS + [False]
        returning.turn()


def test_what_is_remembered_is_bounded() -> None:
    returning = Returning()
    for number in range(MOST + 1):
        returning.note((("10.0.0.1", number), TO), 7)
    assert len(returning) == MOST
    returning.forget((("10.0.0.1", MOST), TO))
    returning.forget((("10.0.0.1", 0), TO))
    assert len(returning) == MOST - 1
