"""What `keepline policy` prints: presets, why, and the list that a session would have needed."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from netns.errors import KeeplineError
from relay.policy import presets, why
from relay.policy.policy import Policy
from relay.policy.presets import PRESETS
from relay.policy.rules import Rule
from relay.policy.verdicts import Deny
from relay.record.events import AnyEvent
from relay.record.story.asked import asked

_PLAIN_OR_ESCAPED: Final = re.compile(r"([-.\w]|\\.)|(.)", re.ASCII | re.DOTALL)
"""A character of a name in text form that a rule reads alike, or one that has to be escaped."""

_FORM: Final = "the form is keepline policy why HOST[:PORT]"


def preset_lines() -> Iterator[str]:
    """Yield each preset with its rules."""
    for name in PRESETS:
        about, rules = presets.load(name)
        yield f"{name}: {about}"
        for rule in rules:
            yield f"  {rule.text}" + (f"  ({rule.reason})" if rule.reason else "")


def why_lines(policy: Policy, text: str, path: str) -> tuple[bool, list[str]]:
    """Return whether HOST[:PORT] may be reached, and the lines about it.

    `path` is config.toml's. Raises KeeplineError if the text is no HOST[:PORT].
    """
    try:
        destination = why.parsed(text)
    except ValueError as error:
        raise KeeplineError(str(error), _FORM) from None
    is_denied = isinstance(policy.decide(destination), Deny)
    return not is_denied, list(why.lines(policy, destination, path))


def learned_lines(session: str, log: Iterable[AnyEvent]) -> Iterator[str]:
    """Yield the table [policy] under which a session asks for the same, and is denied nothing.

    What was denied, and what no rule can name, is a comment.
    """
    found = asked(log)
    name = session if session.isprintable() else ascii(session)
    yield f"# what {name} asked for; for config.toml, or a project's .keepline.toml, once read"
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
