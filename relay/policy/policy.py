"""Which destinations may be reached: by name before anything leaves, by address before each dial.

A matching deny wins. With a list of what is allowed (mode `allowlist`), one of its rules must
match. The host's loopback is nobody's; special-purpose addresses are denied in mode `allowlist`, in
strict and with private = "deny", unless a rule opens them. Pure.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from relay.addresses import Destination, is_dialable, is_ipv4
from relay.policy import special
from relay.policy.index import Index
from relay.policy.rules import Rule
from relay.policy.verdicts import NOT_ALLOWED, UNRESOLVED, Allow, ByAddress, Deny

Mode: TypeAlias = Literal["open", "allowlist"]
Private: TypeAlias = Literal["allow", "deny"]
Preset: TypeAlias = Literal[
    "bedrock", "claude", "codex", "debian", "github", "npm", "ollama", "pypi", "vertex"
]
"""A list of what a program needs, by its data file in presets/."""
Verdict: TypeAlias = Allow | Deny | ByAddress

MOST_LISTS: Final = 32
"""Lists of what is allowed that hold at once: each is asked for each decision."""

_OF_HOST: Final = ("127.0.0.1", "localhost")

_ALLOW: Final = Allow()
_BY_ADDRESS: Final = ByAddress()


class Terms(NamedTuple):
    """What holds beside the rules."""

    mode: Mode | None = None
    """None: `allowlist` if anything is in `allow`, else `open`."""
    private: Private = "allow"
    """Of special-purpose addresses, in mode `open`."""
    is_strict: bool = False


_NO_TERMS: Final = Terms()


class Limits(NamedTuple):
    """What one list allows; all lists of a session hold together."""

    terms: Terms
    allow: Index

    @property
    def mode(self) -> Mode:
        """Whether only what the list names may be reached."""
        return self.terms.mode or ("allowlist" if self.allow.rules else "open")

    @property
    def is_open(self) -> bool:
        """Whether it limits nothing."""
        is_private = self.terms.private == "deny" or self.terms.is_strict
        return self.mode == "open" and not is_private

    def covers(self, other: "Limits") -> bool:
        """Return whether it surely allows all that another list does, so that it adds nothing.

        A list with a network says more than which hosts: that decides about names within
        connections, too. Of such only one that is equal is known to allow the same.
        """
        if self.is_open:
            return True
        if other.is_open or (self.mode == "allowlist" and other.mode == "open"):
            return False
        if self.terms.is_strict and not (other.terms.is_strict or other.mode == "allowlist"):
            return False
        if other.allow.has_networks:
            return other.allow.meanings == self.allow.meanings
        return other.allow.meanings <= self.allow.meanings

    def judge(self, destination: Destination) -> Verdict:
        """Judge what a program asked for."""
        if is_ipv4(destination.host):
            return self.by_address(destination, destination.host)
        return self.by_name(*destination)

    def by_name(self, name: str, port: int | None) -> Verdict:
        """Judge a name at a port; None: at any port."""
        if self.mode == "open":
            return _ALLOW
        allowed = self.allow.speaks_of(name) if port is None else self.allow.match(name, port)
        if allowed:
            return _ALLOW
        return _BY_ADDRESS if self.allow.has_networks else Deny(NOT_ALLOWED)

    def by_address(self, destination: Destination, address: str) -> Allow | Deny:
        """Judge an address that a destination has, or is."""
        host, port = destination
        if (
            self.mode == "allowlist"
            and not self.allow.match(address, port)
            and not (host != address and self.allow.match(host, port))
        ):
            return Deny(NOT_ALLOWED)
        if not self.is_open:
            block = special.block_of(address)
            if block is not None and not self._opens(block, destination, address):
                return Deny(f"{block}, and no rule opens it")
        return _ALLOW

    def is_by_address(self, destination: Destination) -> bool:
        """Return whether it is an address that allows a destination, and no name."""
        rule = self.allow.match(*destination)
        if is_ipv4(destination.host):
            return rule is not None and rule.kind == "network"
        return rule is None and self.allow.has_networks  # where an address of it was allowed

    def _opens(self, block: special.Block, destination: Destination, address: str) -> bool:
        """Return whether a rule is about an address in a block, or about its name.

        A network opens a block that it lies in: one that is larger does not speak of it. Nor does
        a star for everything, or a preset: whoever has the name's zone could choose the address.
        For link-local addresses that holds for `*.name` too.
        """
        host, port = destination
        for rule in self.allow.matches(address, port):
            if rule.network is not None and rule.network.prefixlen >= block.network.prefixlen:
                return True
        if is_ipv4(host):
            return False
        kinds = {"name"} if block.network == special.LINK_LOCAL else {"name", "below"}
        return any(
            rule.kind in kinds and not rule.is_preset for rule in self.allow.matches(host, port)
        )


class Policy:
    """What a session may reach."""

    def __init__(
        self,
        allow: Iterable[str | Rule] = (),
        deny: Iterable[str | Rule] = (),
        idle_retire: Mapping[str, float] | None = None,
        *,
        terms: Terms = _NO_TERMS,
    ) -> None:
        """Read the rules; raises ValueError. `idle_retire`: seconds by rule."""
        self._idle_retire = [(Index([Rule.parse(t)]), s) for t, s in (idle_retire or {}).items()]
        self.limits: tuple[Limits, ...] = (Limits(terms, Index(map(_rule, allow))),)
        self.deny = Index(map(_rule, deny))

    @property
    def mode(self) -> Mode:
        """Whether what no rule names may be reached."""
        return "allowlist" if any(limits.mode == "allowlist" for limits in self.limits) else "open"

    @property
    def is_allowlist(self) -> bool:
        """Whether little is trusted: names within a connection are judged, and DNS is bounded."""
        return any(limits.mode == "allowlist" or limits.terms.is_strict for limits in self.limits)

    @property
    def has_names(self) -> bool:
        """Whether any rule speaks of a name."""
        tables = (self.deny, *(limits.allow for limits in self.limits))
        return any(table.has_names for table in tables)

    def idle_retire(self, destination: Destination) -> float:
        """Return the seconds after which an idle connection is closed; the first match counts."""
        for rule, seconds in self._idle_retire:
            if rule.match(*destination):
                return seconds
        return math.inf

    def decide(self, destination: Destination) -> Verdict:
        """Judge what a program asked for, before anything leaves."""
        if is_ipv4(destination.host):
            return self.judge_address(destination, destination.host)
        denied = self._denied(*destination)
        return denied or self._all(lambda limits: limits.judge(destination))

    def judge_address(self, destination: Destination, address: str) -> Allow | Deny:
        """Judge an address before a connect() to it; `destination` is the name, or the address."""
        host, port = destination
        if not is_dialable(address):
            return Deny(f"{address} is not an address of another host")
        denied = self._denied(address, port)
        if denied is None and host != address:
            denied = self._denied(host, port)
        if denied is not None:
            return denied
        for limits in self.limits:
            verdict = limits.by_address(destination, address)
            if isinstance(verdict, Deny):
                return verdict
        return _ALLOW

    def judge_host_port(self, dialled: Iterable[str], port: int) -> Allow | Deny:
        """Judge a port of the host's loopback that is open, by all names that a program may dial.

        No rule opens it, and deny rules about its address and its names keep it closed.
        """
        for each in (*dialled, *_OF_HOST):
            if denied := self._denied(each, port):
                return denied
        return _ALLOW

    def judge_unresolved(self, destination: Destination) -> Allow | Deny:
        """Judge what a proxy is asked for: of a name nobody here knows the addresses."""
        verdict = self.decide(destination)
        return Deny(UNRESOLVED) if isinstance(verdict, ByAddress) else verdict

    def judge_name(self, name: str) -> Verdict:
        """Judge a name that is to be looked up, whatever its port will be."""
        return self._denied(name, None) or self._all(lambda limits: limits.by_name(name, None))

    def judge_alias(self, name: str, port: int | None = None) -> Allow | Deny:
        """Judge a name that a CNAME leads to: it may be denied, and needs no allow rule.

        Without a port, by the rules that hold for all ports.
        """
        return self._denied(name, port) or _ALLOW

    def denied_alias(
        self, aliases: Iterable[str], port: int | None = None
    ) -> tuple[Deny, str] | None:
        """Return the first denial of a chain of CNAMEs, and the name that it is about."""
        for alias in aliases:
            verdict = self.judge_alias(alias, port)
            if isinstance(verdict, Deny):
                return verdict, alias
        return None

    def judge_inner(self, destination: Destination, inner: str) -> Allow | Deny:
        """Judge the server name of a ClientHello, or a request's Host, seen on a connection.

        In mode `allowlist` it must be allowed itself. Where the destination is allowed by its
        address, as no rule names it, that rule speaks for all that is behind the address.
        """
        if denied := self._denied(inner, destination.port):
            return denied
        for limits in self.limits:
            is_allowed = limits.mode == "open" or limits.allow.match(inner, destination.port)
            if not is_allowed and not limits.is_by_address(destination):
                return Deny(NOT_ALLOWED)
        return _ALLOW

    def narrowed(self, change: "Policy") -> "Policy":
        """Return the policy that allows what both this one and `change` allow.

        A list that allows all that another does is left out, but for the first, the session's own.
        Raises ValueError if too many lists would hold at once.
        """
        first, *later = self.limits
        for limits in change.limits:
            if not any(limits.covers(each) for each in (first, *later)):
                later = [*(each for each in later if not each.covers(limits)), limits]
        if len(later) >= MOST_LISTS:
            raise ValueError(f"more than {MOST_LISTS} lists of what is allowed at once")
        narrowed = copy.copy(self)
        narrowed.limits = (first, *later)
        narrowed.deny = Index((*self.deny.rules, *change.deny.rules))
        return narrowed

    def _denied(self, host: str, port: int | None) -> Deny | None:
        rule = self.deny.match(host, port)
        return Deny(rule.text, rule.reason, rule.source) if rule else None

    def _all(self, judge: Callable[[Limits], Verdict]) -> Verdict:
        """Return the strictest of the verdicts of all lists."""
        verdicts = [judge(limits) for limits in self.limits]
        for verdict in verdicts:
            if isinstance(verdict, Deny):
                return verdict
        return _BY_ADDRESS if _BY_ADDRESS in verdicts else _ALLOW


def _rule(given: str | Rule) -> Rule:
    return given if isinstance(given, Rule) else Rule.parse(given)
