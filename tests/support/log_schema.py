"""The JSON Schema of the flight log: made from the types of events, and lines checked by it.

The check knows the keywords that the schema has; any other is a mistake, not passed over.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from relay.record.events import FORMAT, AnyEvent, CausedEvent, Event

FILE: Final = Path(__file__).parents[2] / "docs/log.schema.json"
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
_SILENT: Final = frozenset(
    {"$schema", "$defs", "title", "description", "default", "discriminator", "properties"}
)


def rendered() -> str:
    """Return what docs/log.schema.json has to be."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A line of `keepline log --json`, format {FORMAT}",
        **msgspec.json.schema(AnyEvent),
    }
    return msgspec.json.format(msgspec.json.encode(schema)).decode() + "\n"


_SCHEMA: Final = json.loads(rendered())
_CAUSED: Final = {
    event.__struct_config__.tag for event in get_args(AnyEvent) if issubclass(event, CausedEvent)
}


def check_log(log: Path) -> None:
    """Check all lines of a flight log that are complete; one is empty where another was torn."""
    for line in log.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n") and line.strip():
            _check(line)


def check_events(events: Iterable[Event]) -> None:
    """Check what a flight log would have of these events."""
    for event in events:
        _check(msgspec.json.encode(event))


def _check(line: bytes) -> None:
    value = json.loads(line)
    assert mistakes(value) == [], line
    assert ("kind" in value) == (value["event"] in _CAUSED), f"no kind: {line!r}"


def mistakes(value: object) -> list[str]:
    """Return what is wrong with a line."""
    return list(_mistakes(value, _SCHEMA))


def _mistakes(  # noqa: C901, PLR0912 - one case a keyword
    value: Any, schema: dict[str, Any]
) -> Iterator[str]:
    for keyword, wanted in schema.items():
        match keyword:
            case "$ref":
                yield from _mistakes(value, _SCHEMA["$defs"][wanted.removeprefix("#/$defs/")])
            case "anyOf":
                ways = [list(_mistakes(value, way)) for way in wanted]
                if [] not in ways:
                    yield f"none of {len(ways)}: {min(ways, key=len)}"
            case "enum":
                if value not in wanted:
                    yield f"{value!r} is none of {wanted}"
            case "type":
                is_bool = isinstance(value, bool) and wanted != "boolean"
                if is_bool or not isinstance(value, _TYPES[wanted]):
                    yield f"{value!r} is no {wanted}"
            case "required":
                yield from (f"no {name} in {value}" for name in wanted if name not in value)
            case "items":
                for item in value:
                    yield from _mistakes(item, wanted)
            case "additionalProperties":  # of an object without properties of its own
                for item in value.values():
                    yield from _mistakes(item, wanted)
            case _ if keyword not in _SILENT:
                yield f"keyword {keyword} is not known"
    for name in schema.get("properties", {}).keys() & (value if isinstance(value, dict) else {}):
        yield from _mistakes(value[name], schema["properties"][name])


if __name__ == "__main__":
    sys.stdout.write(rendered())
