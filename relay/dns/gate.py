"""Which questions leave, and what is recorded of them: by policy, and by the channel's bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from relay.dns.bounds.channel import Channel
from relay.dns.lookup.errors import REFUSED, Meaning, ResolverError
from relay.policy.names import key
from relay.policy.policy import Limits, Policy
from relay.policy.verdicts import Deny
from relay.record.events import Event, NameForwarded
from relay.record.kinds import Kind


@dataclass(eq=False)
class Gate:
    """Is asked before each question that the program is the cause of."""

    policy: Callable[[], Policy]
    """Returns the one that holds now."""
    _record: Callable[[Event], None]
    _clock: Callable[[], float] = trio.current_time
    _channel: Channel = field(default_factory=Channel)
    _written: tuple[Limits, frozenset[bytes]] | None = None
    """The list of what is allowed that was asked last, and the names that it writes out."""

    def pass_(self, name: str, rdtype: str) -> None:
        """Let a question leave; raises ResolverError with the bound that keeps it.

        Questions other than for addresses are recorded: no address tells of them later.
        """
        policy = self.policy()
        if policy.is_allowlist:
            is_named = key(name).wire in self._names(policy)
            excess = self._channel.excess(name, rdtype, self._clock(), is_named=is_named)
            if excess:
                cause = f"more than may leave in questions: {excess}"
                raise ResolverError(cause, Kind.CHANNEL, Meaning.VERDICT, REFUSED)
        if rdtype != "A":
            self._record(NameForwarded(name=name, type=rdtype))

    def may_follow(self, alias: str) -> bool:
        """Return whether the rest of a chain may be asked for, at the name to which it leads."""
        return not isinstance(self.policy().judge_alias(alias), Deny)

    def _names(self, policy: Policy) -> frozenset[bytes]:
        """Return the names that the session's own list of what is allowed writes out.

        Lists that came later, to tighten it, do not count: a program may have written them.
        """
        own = policy.limits[0]
        if self._written is None or self._written[0] is not own:
            names = frozenset(rule.name.wire for rule in own.allow.rules if rule.kind == "name")
            self._written = own, names
        return self._written[1]
