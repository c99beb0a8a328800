"""The policy of a session that runs: its rules only become tighter, and verdicts are kept; pure.

Changes are bounded, for the program may make them: after too many, nothing may be reached.

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

_NOTHING: Final = Rule.parse("*", reason="the settings were changed too often for one session")
"""What is denied then."""

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

    @property
    def is_closed(self) -> bool:
        """Whether it has been changed too often, so that nothing may be reached any more."""
        return self.deny.rules == (_NOTHING,)

    def tighten(self, change: Policy) -> None:
        """Allow from now on what `change` allows too; nothing where that cannot be remembered."""
        if self.is_closed:
            return
        try:
            narrowed = self.narrowed(change)
            is_too_much = len(narrowed.deny.rules) > max(MOST_RULES, len(change.deny.rules))
        except ValueError:
            is_too_much = True
        if is_too_much:
            narrowed = self.narrowed(Policy())
            narrowed.deny = Index([_NOTHING])
        self._take(narrowed)

    def is_loosened_by(self, change: Policy) -> bool:
        """Return whether `change` lacks something that is forbidden now."""
        if self.deny.meanings - change.deny.meanings:
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


def _is_within(limits: Limits) -> Callable[[Limits], bool]:
    """Return what returns whether others allow nothing that `limits` do not."""

    def is_within(others: Limits) -> bool:
        is_list = others.mode == "allowlist"
        if limits.mode == "allowlist":
            return is_list and others.allow.meanings <= limits.allow.meanings
        return is_list or limits.is_open or limits.terms == others.terms

    return is_within


def _keep(kept: dict[_K, _V], key: _K, verdict: _V) -> _V:
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[key] = verdict
    return verdict
