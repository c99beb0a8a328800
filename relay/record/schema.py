"""The JSON Schema of a flight log's lines, generated from the types of events. Pure."""

import msgspec

from relay.record.events import FORMAT, AnyEvent


def rendered() -> str:
    """Return it as the text of docs/log.schema.json, which scripts/schema writes."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A line of `keepline log --json`, format {FORMAT}",
        **msgspec.json.schema(AnyEvent),
    }
    return msgspec.json.format(msgspec.json.encode(schema)).decode() + "\n"
