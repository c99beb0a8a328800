"""Lookups under way."""

from relay.dns.bounds.places import MOST, MOST_OF_ZONE, Places


def test_a_zone_leaves_the_places_of_all_others() -> None:
    places = Places()
    assert not any(places.take("slow.test") for _ in range(MOST_OF_ZONE))
    assert places.take("slow.test") == "512 lookups of one zone are under way"
    assert not places.take("other.test")
    places.give_back("slow.test")
    assert not places.take("slow.test")


def test_there_are_so_many_in_all() -> None:
    places = Places()
    zones = [f"zone{number % 64}.test" for number in range(MOST)]
    assert not any(map(places.take, zones))
    assert places.take("other.test") == "4096 lookups are under way"
    for zone in zones:
        places.give_back(zone)
    assert not any(map(places.take, zones))
