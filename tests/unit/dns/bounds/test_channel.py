"""What may leave in questions, where little is trusted."""

from math import log2
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dns.bounds.channel import (
    BURST,
    BURST_OF_ZONE,
    HOUR,
    MOST_BUCKETS,
    MOST_OCTETS,
    MOST_OF_LABEL,
    NAMES,
    NAMES_OF_ZONE,
    PAUSE,
    PAUSE_OF_ZONE,
    TYPES,
    Channel,
)


def excess(
    channel: Channel, name: str, rdtype: str = "A", now: float = 0, *, is_named: bool = False
) -> str:
    return channel.excess(name, rdtype, now, is_named=is_named)


@pytest.mark.parametrize("rdtype", ["NULL", "TYPE65280", "ANY", "KEY", "HINFO", "RRSIG", "NAPTR"])
def test_types_that_programs_do_without_do_not_leave(rdtype: str) -> None:
    cause = f"no program needs questions of type {rdtype}"
    assert excess(Channel(), "www.test", rdtype, is_named=True) == cause


def test_types_that_programs_need_leave() -> None:
    channel = Channel()
    assert not any(excess(channel, "www.test", rdtype) for rdtype in TYPES)


LONGEST = ".".join(["x" * 31] * 4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a" * MOST_OF_LABEL + ".test", ""),
        ("a" * (MOST_OF_LABEL + 1) + ".test", "labels of 52 octets"),
        (r"\001" * MOST_OF_LABEL + ".test", ""),
        (r"\001" * (MOST_OF_LABEL + 1) + ".test", "labels of 52 octets"),
        (LONGEST + "x", ""),
        (LONGEST + "xx", "names of 128 octets"),
        (r"\." * 52 + "." + r"\." * 52 + ".0123456789.012345678901", "names of 128 octets"),
    ],
)
def test_names_and_labels_are_short(name: str, expected: str) -> None:
    assert excess(Channel(), name) == expected
    assert excess(Channel(), name, is_named=True) == ""


def test_few_names_of_a_zone_leave_in_an_hour() -> None:
    channel = Channel()
    for number in range(NAMES_OF_ZONE):
        assert not excess(channel, f"n{number}.a.test", now=float(number))
    assert excess(channel, "new.a.test", now=200) == "128 names of a zone an hour"
    assert not excess(channel, "n0.a.test", now=200), "it is known"
    assert not excess(channel, "new.a.test", now=200, is_named=True)
    assert not excess(channel, "new.b.test", now=200)
    assert not excess(channel, "new.a.test", now=HOUR), "the first one was an hour ago"
    assert excess(channel, "newer.a.test", now=HOUR)
    assert not excess(channel, "newer.a.test", now=2 * HOUR)


def test_many_zones_have_not_many_times_as_much() -> None:
    channel = Channel()
    sent = [not excess(channel, f"n.z{number}.test", now=number) for number in range(2 * NAMES)]
    assert sum(sent) == NAMES
    assert excess(channel, "n.new.test", now=2 * NAMES) == "1024 names an hour"


def test_known_names_leave_at_a_slow_pace_after_a_burst() -> None:
    channel = Channel()
    assert not any(excess(channel, "www.a.test", is_named=True) for _ in range(BURST_OF_ZONE))
    expected = "256 questions at once and 1,800 an hour of one zone"
    assert excess(channel, "www.a.test", is_named=True) == expected
    assert not excess(channel, "www.a.test", now=PAUSE_OF_ZONE)
    assert excess(channel, "www.a.test", now=PAUSE_OF_ZONE) == expected
    assert not excess(channel, "www.b.test", now=PAUSE_OF_ZONE)


def test_the_pace_of_all_zones_is_bound_too() -> None:
    channel = Channel()
    sent = [not excess(channel, f"z{number % 8}.test", is_named=True) for number in range(4000)]
    assert sum(sent) == BURST
    assert excess(channel, "other.test") == "1024 questions at once and 7,200 an hour of all zones"


def test_a_name_that_the_pace_keeps_is_not_counted() -> None:
    channel = Channel()
    for _ in range(BURST_OF_ZONE):
        excess(channel, "www.a.test")
    for number in range(NAMES_OF_ZONE):
        assert "questions" in excess(channel, f"n{number}.a.test")
    assert not excess(channel, "n.a.test", now=PAUSE_OF_ZONE)


def test_zones_are_forgotten() -> None:
    channel = Channel()
    for number in range(MOST_BUCKETS + BURST):
        excess(channel, f"z{number}.test", now=float(number), is_named=True)
    assert not excess(channel, "z0.test", now=float(MOST_BUCKETS + BURST))


ASKED = st.tuples(
    st.integers(0, 400), st.integers(0, 3), st.floats(0, 100), st.sampled_from(sorted(TYPES))
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ASKED, max_size=400))
def test_however_it_is_asked_an_hour_has_its_bounds(
    asked: list[tuple[int, int, float, str]],
) -> None:
    channel, now, left = Channel(), 0.0, list[tuple[float, str, int]]()
    for number, zone, pause, rdtype in asked:
        now += pause
        if not excess(channel, f"n{number}.z{zone}.test", rdtype, now):
            left.append((now, f"n{number}", zone))
    within = [each for each in left if each[0] < HOUR]
    for zone in range(4):
        of_zone = [name for _at, name, of in within if of == zone]
        assert len(set(of_zone)) <= NAMES_OF_ZONE
        assert len(of_zone) <= BURST_OF_ZONE + HOUR / PAUSE_OF_ZONE


def test_what_remains_is_what_is_promised() -> None:
    promised = " ".join((Path(__file__).parents[4] / "SECURITY.md").read_text().split())
    for figure in (
        f"labels have {MOST_OF_LABEL} octets at most, names {MOST_OCTETS}; {NAMES_OF_ZONE}",
        f"{NAMES:,} of all zones together",
        f"{BURST_OF_ZONE} questions of a zone at once, then {HOUR / PAUSE_OF_ZONE:,.0f} an hour",
        f"{BURST:,} and {HOUR / PAUSE:,.0f} of all zones",
        "about 20 KB an hour",
        "150 KB an hour",
        "3 KB an hour",
    ):
        assert figure in promised
    flags = 8  # CD and AD, and DO or EDNS: of RD and the others nothing is kept that a zone sees
    of_one = log2(NAMES_OF_ZONE * len(TYPES) * flags) / 8
    of_all = log2(NAMES * len(TYPES) * flags) / 8
    in_order = HOUR / PAUSE_OF_ZONE * of_one
    assert in_order < 3500
    assert NAMES_OF_ZONE * MOST_OCTETS + in_order < 20_500
    assert NAMES * MOST_OCTETS + HOUR / PAUSE * of_all < 150_000
