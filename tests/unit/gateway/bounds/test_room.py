"""What all answers of a session hold together."""

from relay.gateway.bounds.room import ALL, Room, Share


def test_the_room_is_for_all_shares_together() -> None:
    room = Room()
    one, other = Share(room), Share(room)
    assert one.hold(ALL - 10)
    assert other.hold(10)
    assert not other.hold(11)
    assert one.hold(5)
    assert other.hold(ALL - 5)


def test_what_is_let_go_is_there_for_others() -> None:
    room = Room()
    for _ in range(3):
        share = Share(room)
        assert share.hold(ALL)
        assert not share.hold(ALL + 1)
        share.hold(0)
    assert room.left == ALL
