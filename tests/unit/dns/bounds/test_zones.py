"""Whose a name is."""

import pytest

from relay.dns.bounds.zones import OTHERS, zone_of


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("", ""),
        ("test", "test"),
        ("evil.test", "evil.test"),
        ("a.b.evil.test", "evil.test"),
        (r"a\.b.evil.test", "evil.test"),
        (r"a.b\.evil.test", r"b\046evil.test"),
        (r"a.\001\$\\.te\"st", r"\001\036\092.te\034st"),
        (r"\196.evil.test", "evil.test"),
        (r"x.other zones", "x.other zones"),
    ],
)
def test_a_zone_is_the_last_two_labels_of_the_wire(name: str, zone: str) -> None:
    assert zone_of(name) == zone
    assert zone != OTHERS
