"""The list of rules that a session would have needed, as a config file has it. Pure."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from relay.policy.rules import Rule
from relay.record.events import AnyEvent
from relay.record.story.asked import asked

_PLAIN_OR_ESCAPED: Final = re.compile(r"([-.\w]|\\.)|(.)", re.ASCII | re.DOTALL)
"""A character of a name in text form that a rule reads alike, or one that has to be escaped."""


def lines(session: str, log: Iterable[AnyEvent]) -> Iterator[str]:
    """Yield the table [policy] under which a session asks for the same, and is denied nothing.

    What was denied, and what no rule can name, is a comment.
    """
    found = asked(log)
    name = session if session.isprintable() else ascii(session)
    yield f"# what {name} asked for; for config.toml, or a project's .keepline.toml, once read"
    if found.host_ports:
        yield f"host_ports = {sorted(found.host_ports)} # in config.toml alone"
    yield "[policy]"
    yield 'mode = "allowlist"'
    yield "allow = ["
    for host, ports in sorted(found.ports.items()):
        escaped = _escaped(host)
        for text in [f"{escaped}:{port}" for port in sorted(ports)] or [escaped]:
            yield f"  {json.dumps(text)}," if _is_rule(text) else f"  # no rule: {json.dumps(text)}"
    for text in found.denied:
        yield f"  # denied: {json.dumps(text)}"
    yield "]"


def _escaped(name: str) -> str:
    return _PLAIN_OR_ESCAPED.sub(lambda found: found[1] or f"\\{ord(found[2]):03}", name)


def _is_rule(text: str) -> bool:
    try:
        Rule.parse(text)
    except ValueError:
        return False
    return True
