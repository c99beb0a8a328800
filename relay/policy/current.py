"""The policy of a session that runs: its rules only become tighter, and verdicts are kept; pure.

A verdict that was given is a look-up. Whoever holds this object has the rules that hold now.
"""

from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from relay.addresses import Destination
from relay.policy.index import Index
from relay.policy.policy import Limits, Policy, Verdict
from relay.policy.rules import Rule
from relay.policy.verdicts import Allow, Deny

MOST_RULES: Final = 50_000
"""Deny rules of a session, those that changes have added included: the program may make changes."""

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
        narrowed = self.narrowed(change)
        if len(narrowed.deny.rules) > max(MOST_RULES, len(change.deny.rules)):
            raise ValueError("it has been changed too often for one session: start another")
        self._take(narrowed)

    def is_loosened_by(self, change: Policy) -> bool:
        """Return whether `change` lacks something that is forbidden now."""
        if _meanings(self.deny) - _meanings(change.deny):
            return True
        return not all(any(map(_is_within(limits), change.limits)) for limits in self.limits)

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


def _meanings(rules: Index) -> set[Rule]:
    """Return what rules mean, wherever they stand and for whatever reason."""
    return {rule._replace(text="", source="", reason="") for rule in rules.rules}


def _is_within(limits: Limits) -> Callable[[Limits], bool]:
    """Return what returns whether others allow nothing that `limits` do not."""

    def is_within(others: Limits) -> bool:
        is_list = others.mode == "allowlist"
        if limits.mode == "allowlist":
            return is_list and _meanings(others.allow) <= _meanings(limits.allow)
        return is_list or limits.is_open or limits.terms == others.terms

    return is_within


def _keep(kept: dict[_K, _V], key: _K, verdict: _V) -> _V:
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[key] = verdict
    return verdict
