"""Rules as they stand in a source, with their reasons and places; pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from relay.policy.policy import Policy, Private, Terms
from relay.policy.rules import Rule

_MOST_OF_REASON: Final = 200
"""Characters of a rule's reason: it stands in each event of a denial."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule as it stands in a source."""

    host: str
    """HOST[:PORT]."""
    reason: str = ""
    source: str = ""
    """The place, for people; whoever reads the source sets it."""

    def __post_init__(self) -> None:
        """Check that the reason is a line for people, whoever has written it; raises ValueError."""
        if not self.reason.isprintable() or len(self.reason) > _MOST_OF_REASON:
            raise ValueError(f"{self.host!r}: a reason is a line of {_MOST_OF_REASON} characters")

    def rule(self) -> Rule:
        """Read the rule; raises ValueError."""
        return Rule.parse(self.host, source=self.source, reason=self.reason)


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """What the file of a project asks for: it can only tighten what holds without it."""

    path: str
    allow: tuple[Entry, ...] = ()
    deny: tuple[Entry, ...] = ()
    is_allowlist: bool = False
    private: Private = "allow"
    is_unpublished: bool = False
    """Whether nothing inside is to be reached from the host without being asked for."""

    def policy(self) -> Policy:
        """Make the policy that narrows another; raises ValueError."""
        return Policy(rules(self.allow), rules(self.deny), terms=Terms(private=self.private))


def rules(entries: Iterable[str | Entry]) -> list[Rule]:
    """Read rules; raises ValueError with the rule and the mistake."""
    return [each.rule() if isinstance(each, Entry) else Rule.parse(each) for each in entries]


def require_others(allowed: Iterable[Rule]) -> None:
    """Raise ValueError if a rule is to allow loopback: each host has its own."""
    for each in allowed:
        if each.is_of_loopback:
            raise ValueError(
                f"{each.text!r}: inside, that is the session's own loopback, and no rule opens"
                " the host's: --host-port PORT, or host_ports = [PORT], does"
            )
