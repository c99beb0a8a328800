"""Which destinations may be reached: decide(destination) -> Allow | Deny(rule); pure.

A rule is HOST[:PORT]: a name, `*.name` for all names below it, `*`, an address, or a network;
without a port it holds for all. A matching deny wins; if there are allow rules, one of them must
match.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

from relay.addresses import Destination, ipv4_network, ipv4_number, is_ipv4, split_port

NOT_ALLOWED: Final = "no allow rule matches"


@dataclass(frozen=True)
class Allow:
    """The destination may be reached."""


@dataclass(frozen=True)
class Deny:
    """The destination may not be reached; `rule` is the reason."""

    rule: str


@dataclass(frozen=True)
class Rule:
    """One parsed rule."""

    text: str
    host: str
    """A name in lower case, with a leading dot for all below it; empty for all, or a network."""
    network: IPv4Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read HOST[:PORT]; raises ValueError with the rule and the mistake in it."""
        try:
            host, port = split_port(text.strip().lower().rstrip("."), lowest=0)
            if host.replace(".", "").replace("/", "").isdigit():
                return cls(text, "", ipv4_network(host), port)
            return cls(text, _name_of_rule(host), None, port)
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None

    def matches(self, destination: Destination) -> bool:
        """Return whether the rule is about this destination."""
        return self.port in (None, destination.port) and self.matches_host(destination.host)

    def matches_host(self, host: str) -> bool:
        """Return whether the rule is about this name or address."""
        if self.network is not None:
            return is_ipv4(host) and _contains(self.network, host)
        if self.host.startswith("."):
            # A label may hold a dot, written `\.`: such a name is not below what it seems to be.
            return host.endswith(self.host) and "\\" not in host
        return self.host in ("", host)


def _name_of_rule(host: str) -> str:
    """Return the name, without the star that stands for all below it; raises ValueError."""
    if not host or any(c.isspace() for c in host):
        raise ValueError("the form is HOST[:PORT]")
    name = host.removeprefix("*")
    if "*" in name or "/" in name or (name != host and name and not name.startswith(".")):
        raise ValueError("a star stands for whole labels at the start, as in *.name")
    return name


def _contains(network: IPv4Network, address: str) -> bool:
    return ipv4_number(address) & int(network.netmask) == int(network.network_address)


class Policy:
    """All rules of a session."""

    def __init__(
        self,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        idle_retire: Mapping[str, float] | None = None,
    ) -> None:
        """Parse the rules; raises ValueError. `idle_retire`: seconds by rule."""
        self._idle_retire = [(Rule.parse(text), s) for text, s in (idle_retire or {}).items()]
        self._allow = [Rule.parse(text) for text in allow]
        self._deny = [Rule.parse(text) for text in deny]

    def idle_retire(self, destination: Destination) -> float:
        """Return the seconds after which an idle connection is closed; the first match counts."""
        for rule, seconds in self._idle_retire:
            if rule.matches(destination):
                return seconds
        return math.inf

    @property
    def has_names(self) -> bool:
        """Whether any rule speaks of a name."""
        return any(rule.network is None for rule in (*self._allow, *self._deny))

    def decide(self, destination: Destination) -> Allow | Deny:
        """Judge a connection before it is dialled."""
        for rule in self._deny:
            if rule.matches(destination):
                return Deny(rule.text)
        if not self._allow or any(rule.matches(destination) for rule in self._allow):
            return Allow()
        return Deny(NOT_ALLOWED)

    def denied_name(self, name: str) -> str | None:
        """Return the rule that denies a name at every port, None if a query for it may leave."""
        for rule in self._deny:
            if rule.port is None and rule.matches_host(name):
                return rule.text
        if not self._allow or any(rule.matches_host(name) for rule in self._allow):
            return None
        return NOT_ALLOWED
