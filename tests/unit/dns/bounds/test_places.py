"""Lookups under way."""

from relay.dns.bounds.places import MOST, MOST_OF_ZONE, Places


def test_a_zone_leaves_the_places_of_all_others() -> None:
    places = Places()
    assert not any(places.take("slow.test") for _ in range(MOST_OF_ZONE))
    assert places.take("slow.test") == "512 lookups of one zone are under way"
    assert not places.take("other.test")
    places.give_back("slow.test")
    assert not places.take("slow.test")


def test_a_crowd_of_zones_leaves_places_to_others() -> None:
    for count in (8, 60, 500):
        places = Places()
        for _ in range(MOST_OF_ZONE):
            for zone in range(count):
                places.take(f"slow{zone}.test")
        assert not places.take("other.test"), count


def test_zones_that_come_one_after_the_other_leave_places_too() -> None:
    places = Places()
    for zone in range(300):
        while not places.take(f"slow{zone}.test"):
            pass
    assert places.take("slow0.test").startswith("1 lookups of one zone are under way, as 3")
    assert not places.take("other.test")


def test_there_are_so_many_in_all() -> None:
    places = Places()
    zones = [f"zone{number}.test" for number in range(MOST)]
    assert not any(map(places.take, zones))
    assert places.take("other.test") == "4096 lookups are under way"
    for zone in zones:
        places.give_back(zone)
    assert not any(map(places.take, zones))


def test_with_few_descriptors_there_are_fewer() -> None:
    places = Places(64)
    assert [places.take("slow.test") for _ in range(9)] == [
        *[""] * 8,
        "8 lookups of one zone are under way",
    ]
    zones = [f"zone{number}.test" for number in range(56)]
    assert not any(map(places.take, zones))
    assert places.take("other.test") == "64 lookups are under way"
