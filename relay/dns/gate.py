"""Which questions leave, and what is recorded of them: by policy, and by the channel's bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from relay.dns.bounds.channel import Channel
from relay.dns.lookup.errors import REFUSED, Meaning, ResolverError
from relay.policy.names import key
from relay.policy.policy import Policy
from relay.policy.verdicts import Deny
from relay.record.events import Event, NameForwarded
from relay.record.kinds import Kind


@dataclass(eq=False)
class Gate:
    """Is asked before each question that the program is the cause of."""

    _policy: Policy
    """Whose rules may change in place: CurrentPolicy."""
    _record: Callable[[Event], None]
    _clock: Callable[[], float] = trio.current_time
    _channel: Channel = field(default_factory=Channel)
    _written: frozenset[bytes] | None = None
    """The names that the session's own list of what is allowed writes out, once asked for."""

    def pass_(self, name: str, rdtype: str) -> None:
        """Let a question leave; raises ResolverError with the bound that keeps it.

        Questions other than for addresses are recorded: no address tells of them later.
        """
        if self._policy.is_allowlist:
            is_named = key(name).wire in self._names()
            excess = self._channel.excess(name, rdtype, self._clock(), is_named=is_named)
            if excess:
                cause = f"more than may leave in questions: {excess}"
                raise ResolverError(cause, Kind.CHANNEL, Meaning.VERDICT, REFUSED)
        if rdtype != "A":
            self._record(NameForwarded(name=name, type=rdtype))

    def may_follow(self, alias: str) -> bool:
        """Return whether the rest of a chain may be asked for, at the name to which it leads."""
        return not isinstance(self._policy.judge_alias(alias), Deny)

    def _names(self) -> frozenset[bytes]:
        """Return the names that the session's own list of what is allowed writes out.

        It stays the first. Those that came later, to tighten it, do not count: a program may have
        written them.
        """
        if self._written is None:
            rules = self._policy.limits[0].allow.rules
            self._written = frozenset(rule.name.wire for rule in rules if rule.kind == "name")
        return self._written
