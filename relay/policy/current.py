"""The policy of a session that runs: its rules only become tighter, and verdicts are kept; pure.

A verdict that was given is a look-up. Whoever holds this object has the rules that hold now.
"""

from collections.abc import Hashable
from typing import Final, TypeVar

from relay.addresses import Destination
from relay.policy.policy import Policy, Verdict
from relay.policy.verdicts import Allow, Deny

MOST_KEPT: Final = 4096
"""Verdicts, of each kind; then all are forgotten."""

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class CurrentPolicy(Policy):
    """A policy whose rules change in place."""

    inspects: bool
    """Whether names within a connection are judged: in mode `allowlist`, or if a rule has one."""

    def __init__(self, policy: Policy) -> None:
        """Take the rules of a policy over."""
        self._take(policy)

    def _take(self, policy: Policy) -> None:
        vars(self).update(vars(policy))
        self._decided: dict[Destination, Verdict] = {}
        self._judged: dict[tuple[Destination, str], Allow | Deny] = {}
        self.inspects = self.is_allowlist or self.has_names

    def tighten(self, change: Policy) -> None:
        """Allow from now on what `change` allows too; raises ValueError, and is as before then."""
        self._take(self.narrowed(change))

    def decide(self, destination: Destination) -> Verdict:
        """Judge what a program asked for, before anything leaves."""
        verdict = self._decided.get(destination)
        if verdict is None:
            verdict = _keep(self._decided, destination, super().decide(destination))
        return verdict

    def judge_address(self, destination: Destination, address: str) -> Allow | Deny:
        """Judge an address before a connect() to it; `destination` is the name, or the address."""
        key = destination, address
        verdict = self._judged.get(key)
        if verdict is None:
            verdict = _keep(self._judged, key, super().judge_address(destination, address))
        return verdict


def _keep(kept: dict[_K, _V], key: _K, verdict: _V) -> _V:
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[key] = verdict
    return verdict
