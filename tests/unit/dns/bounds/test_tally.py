"""Names in the record."""

from relay.dns.bounds.tally import NAMES, NAMES_OF_ZONE, ZONES, Tally
from relay.record.events import (
    Event,
    FurtherNames,
    LookupFailed,
    NameAssigned,
    NameForwarded,
    NameRefused,
    NamesBounded,
    PathUp,
)
from relay.record.kinds import Kind
from relay.record.repeats import Repeats


def recorded(events: list[Event]) -> list[Event]:
    found: list[Event] = []
    tally = Tally(found.append)
    for event in events:
        tally(event)
    return found


def asked(number: int, zone: str = "evil.test", rdtype: str = "TXT") -> NameForwarded:
    return NameForwarded(name=f"n{number}.{zone}", type=rdtype)


def test_the_first_names_of_a_zone_are_told_and_the_others_counted() -> None:
    found = recorded([asked(number) for number in range(200)])
    assert found[:NAMES_OF_ZONE] == [asked(number) for number in range(NAMES_OF_ZONE)]
    further = FurtherNames(zone="evil.test", what="forwarded", kind=Kind.BOUND)
    assert found[NAMES_OF_ZONE:] == [further] * (200 - NAMES_OF_ZONE)
    assert not further.is_failure
    repeats = Repeats()
    lines = [line for event in found for line in repeats.passed(event)]
    assert len(lines) == NAMES_OF_ZONE + 8, "1, 2, 4, 8, 16, 32, 64, 128"
    [last] = repeats.last()
    assert isinstance(last, FurtherNames)
    assert last.text() == "names of evil.test: more of them forwarded; 136 times so far"


def test_a_name_and_type_is_told_once_and_a_refusal_each_time() -> None:
    assert recorded([asked(1), asked(1), asked(1, rdtype="MX")]) == [
        asked(1),
        asked(1, rdtype="MX"),
    ]
    refused = NameRefused(name="x.test", type="A", rule="*", kind=Kind.POLICY)
    assert recorded([refused, refused]) == [refused, refused]


def test_no_program_fills_the_record_with_zones() -> None:
    found = recorded([asked(0, zone=f"z{number}.test") for number in range(NAMES + 100)])
    further = [event for event in found if isinstance(event, FurtherNames)]
    assert len(found) == NAMES + 100
    assert len(further) == 100
    assert {event.zone for event in further} == {"other zones"}
    bounded = [NamesBounded(zone=f"z{n}.test", cause="", kind=Kind.CHANNEL) for n in range(500)]
    zones = {event.zone for event in recorded([*bounded]) if isinstance(event, NamesBounded)}
    assert len(zones) == ZONES + 1


def test_each_sort_has_room_of_its_own() -> None:
    assigned = [NameAssigned(name=f"n{n}.test.test", address="198.18.1.1") for n in range(100)]
    refused = NameRefused(name="x.test.test", type="A", rule="*", kind=Kind.POLICY)
    found = recorded([*assigned, refused])
    assert found[-1] == refused
    assert FurtherNames(zone="test.test", what="assigned", kind=Kind.BOUND) in found


def test_a_loss_is_always_told() -> None:
    lost = [
        LookupFailed(name=f"n{n}.test", type="A", cause="", kind=Kind.TIMEOUT) for n in range(99)
    ]
    assert recorded([*lost]) == lost
    verdicts = [
        LookupFailed(name=f"n{n}.a.test", type="A", cause="", kind=Kind.TIMEOUT, verdict=True)
        for n in range(99)
    ]
    assert recorded([*verdicts])[NAMES_OF_ZONE] == FurtherNames(
        zone="a.test", what="failed", kind=Kind.BOUND
    )


def test_all_else_is_passed_on() -> None:
    other = PathUp(address="192.0.2.1", seconds=1)
    assert recorded([other]) == [other]
