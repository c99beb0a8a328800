"""What all answers of a session hold together."""

from relay.gateway.bounds.room import ALL, KEPT, SMALL, Room, Share


def test_the_room_is_for_all_shares_together() -> None:
    room = Room(left=100)
    one, other = Share(room), Share(room)
    assert one.hold(90)
    assert other.hold(10)
    assert not other.hold(11)
    assert one.hold(5)
    assert other.hold(95)


def test_large_answers_leave_some_to_the_others() -> None:
    room = Room()
    one, two = Share(room), Share(room)
    assert one.hold(ALL - KEPT)
    assert not two.hold(SMALL + 1)
    assert two.hold(SMALL)
    others = [Share(room) for _ in range(KEPT // SMALL - 1)]
    assert all(other.hold(SMALL) for other in others)
    assert not Share(room).hold(1)


def test_what_is_let_go_is_there_for_others() -> None:
    room = Room()
    for _ in range(3):
        share = Share(room)
        assert share.hold(ALL - KEPT)
        assert not share.hold(ALL + 1)
        share.hold(0)
    assert room.left == ALL
