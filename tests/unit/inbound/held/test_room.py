"""Room for so many offers: which one gives way, whatever came and went before."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from relay.addresses import Endpoint
from relay.inbound.held.room import FEW, Room

SILENT: Endpoint = ("203.0.113.5", 443)
OTHER: Endpoint = ("203.0.113.6", 443)


@dataclass(eq=False)
class Pending:
    destination: Endpoint


def test_the_oldest_of_the_crowd_gives_way() -> None:
    room = Room[Pending](4)
    other, *crowd = Pending(OTHER), *(Pending(SILENT) for _ in range(3))
    for each in (other, *crowd):
        assert room.to_give_way() is None
        room.add(each)
    assert room.to_give_way() is crowd[0]
    assert list(room) == [other, *crowd]
    room.discard(crowd[0])
    room.discard(crowd[0])
    assert crowd[0] not in room
    assert (other in room, len(room)) == (True, 3)


def test_where_each_has_few_the_oldest_of_all_gives_way() -> None:
    room = Room[Pending](FEW * 64)
    crowd = [Pending((f"198.51.100.{number % 256}", number)) for number in range(FEW * 63)]
    few = [Pending(OTHER) for _ in range(FEW)]
    for each in (*crowd, *few, *(Pending(SILENT) for _ in range(len(crowd) // 63))):
        if (gone := room.to_give_way()) is not None:
            room.discard(gone)
        room.add(each)
    assert room.has_place(SILENT)
    assert room.to_give_way() is crowd[FEW]
    room.discard(crowd[FEW])
    assert all(each in room for each in few)


def test_where_the_crowd_has_gone_the_oldest_of_all_gives_way() -> None:
    room = Room[Pending](2)
    crowd = [Pending(SILENT), Pending(SILENT)]
    for each in crowd:
        room.add(each)
    for each in crowd:
        room.discard(each)
    first, second = Pending(("203.0.113.7", 1)), Pending(OTHER)
    room.add(first)
    room.add(second)
    assert room.to_give_way() in (first, second)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), max_size=60))
def test_who_gives_way_is_held_and_a_crowd_is_never_above_its_bound(
    steps: list[tuple[bool, int, int]],
) -> None:
    room = Room[Pending](5)
    held: list[Pending] = []
    for adds, place, host in steps:
        if adds:
            if (other := room.to_give_way()) is not None:
                assert other in held
                assert len(room) == 5
                room.discard(other)
                held.remove(other)
            held.append(Pending((f"203.0.113.{host}", 443)))
            room.add(held[-1])
        elif place < len(held):
            room.discard(held.pop(place))
        assert list(room) == held
