"""The log's schema is what its events are, and says no to what they are not."""

import json
from typing import Any, get_args

import msgspec
import pytest

from relay.record.events import FORMAT, AnyEvent
from tests.support.log_schema import FILE, mistakes, rendered
from tests.unit.record.test_view import CLOSED, STARTED, TOLD

LINES = [
    json.loads(msgspec.json.encode(event))
    for event in [STARTED, CLOSED, *(event for event, _text in TOLD)]
]


def test_the_file_is_what_the_types_are() -> None:
    assert FILE.read_text() == rendered(), "try: scripts/schema"


def test_it_says_its_format_and_all_events() -> None:
    said = json.loads(rendered())
    assert said["title"].endswith(f"format {FORMAT}")
    names = {event.__struct_config__.tag for event in get_args(AnyEvent)}
    assert set(said["discriminator"]["mapping"]) == names


@pytest.mark.parametrize("line", LINES, ids=[line["event"] for line in LINES])
def test_each_event_is_as_it_says(line: dict[str, Any]) -> None:
    assert mistakes(line) == []
    assert mistakes({**line, "later": "a field of a later version"}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"event": "unheard_of"},
        {"connection": "1"},
        {"connection": True},
        {"kind": "unheard-of"},
        {"cause": None},
        {"at": "now"},
    ],
)
def test_what_is_none_is_not(change: dict[str, object]) -> None:
    line = {"event": "dial_failed", "at": 1.5, "kind": "refused", "connection": 1, "cause": "no"}
    line["seconds"] = 0
    assert mistakes(line) == []
    assert mistakes({**line, **change})
    del line["seconds"]
    assert mistakes(line)


def test_a_list_of_what_it_is_not() -> None:
    assert mistakes({"event": "resolvers_changed", "resolvers": ["192.0.2.53", 1]})
