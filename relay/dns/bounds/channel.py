"""How much questions can carry out, where little is trusted: in mode `allowlist`, and in strict.

Whoever owns a zone reads what is asked of it: the names, their types, and their order. So the types
are those that programs need, names are short, there are few new ones an hour, and even known names
are asked for at a slow pace once a burst is over. A name that an allow rule writes out says nothing
that the rule does not, and is bound by the pace alone. SECURITY.md has what remains. Pure.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final

from relay.dns.bounds.zones import zone_of
from relay.policy.names import labels

TYPES: Final = frozenset(
    {
        "A",  # getaddrinfo(3), and all that dials by name
        "AAAA",  # the same, asked beside A by everything; never leaves, as A's lookup answers it
        "CAA",  # clients of ACME, before they ask for a certificate
        "CNAME",  # clients of ACME, and tools that show where a name leads
        "DNSKEY",  # validating stubs: systemd-resolved, libunbound, delv
        "DS",  # the same
        "HTTPS",  # browsers, curl, Go: the protocols that a server speaks
        "MX",  # mail
        "NS",  # nsupdate and clients of ACME, which look for the zone of a name
        "PTR",  # getnameinfo(3)
        "SOA",  # as NS
        "SRV",  # mongodb+srv, Kerberos, XMPP, SIP, etcd
        "SSHFP",  # ssh with VerifyHostKeyDNS
        "SVCB",  # as HTTPS, for other protocols
        "TLSA",  # DANE, of mail
        "TXT",  # mongodb+srv, clients of ACME, mail's policies
        "URI",  # Kerberos, which asks for it before SRV
    }
)
"""Not among them are NULL, private and unassigned types, which tunnels use and programs do not."""

MOST_OCTETS: Final = 128
"""Of a name, its dots counted. The longest of cloud machines and their services have about 100."""

MOST_OF_LABEL: Final = 52
"""Octets. The longest that a load balancer of a cloud is given by itself has 52."""

HOUR: Final = 3600.0

NAMES_OF_ZONE: Final = 128
"""Different names of a zone in any hour."""

NAMES: Final = 1024
"""The same of all zones: whoever has a hundred zones has not a hundred times as much."""


@dataclass(slots=True)
class _Bucket:
    """Questions that may leave: a burst, and then one each `pause` seconds (a token bucket)."""

    burst: int
    pause: float
    left: float
    at: float

    def has_one(self, now: float) -> bool:
        """Return whether a question may leave now."""
        self.left = min(self.left + (now - self.at) / self.pause, self.burst)
        self.at = now
        return self.left >= 1

    def __str__(self) -> str:
        """Return the bound for people."""
        return f"{self.burst} questions at once and {HOUR / self.pause:,.0f} an hour"


BURST_OF_ZONE: Final = 256
PAUSE_OF_ZONE: Final = 2.0
"""Seconds: 1,800 questions an hour. Addresses are cached, so it is met where a TTL is short."""

BURST: Final = 1024
PAUSE: Final = 0.5

MOST_BUCKETS: Final = 4096
"""Zones whose pace is remembered. There are no more than names that may leave, and those of
rules; what was asked for longest ago has its burst again by then."""


class Channel:
    """Counts what leaves; the time is an argument."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, float] = OrderedDict()
        """When each name left first within the last hour; the oldest is first."""
        self._of_zone: Counter[str] = Counter()
        self._all = _Bucket(BURST, PAUSE, BURST, 0.0)
        self._zones: OrderedDict[str, _Bucket] = OrderedDict()

    def excess(self, name: str, rdtype: str, now: float, *, is_named: bool) -> str:
        """Return the bound that keeps a question, "" if it may leave, which counts.

        `is_named`: an allow rule is this very name.
        """
        if rdtype not in TYPES:
            return f"no program needs questions of type {rdtype}"
        if not is_named and (excess := _length(name)):
            return excess
        zone = zone_of(name)
        of_zone = self._bucket(zone, now)
        if not of_zone.has_one(now):
            return f"{of_zone} of one zone"
        if not self._all.has_one(now):
            return f"{self._all} of all zones"
        if not is_named and (excess := self._count(name, zone, now)):
            return excess
        of_zone.left -= 1
        self._all.left -= 1
        return ""

    def _count(self, name: str, zone: str, now: float) -> str:
        """Count a name if it is new; return the bound that it would exceed."""
        self._forget(now)
        if name in self._names:
            return ""
        if self._of_zone[zone] >= NAMES_OF_ZONE:
            return f"{NAMES_OF_ZONE} names of a zone an hour"
        if len(self._names) >= NAMES:
            return f"{NAMES} names an hour"
        self._names[name] = now
        self._of_zone[zone] += 1
        return ""

    def _forget(self, now: float) -> None:
        """Forget the names that left more than an hour ago."""
        while self._names and now - next(iter(self._names.values())) >= HOUR:
            zone = zone_of(self._names.popitem(last=False)[0])
            self._of_zone[zone] -= 1
            if not self._of_zone[zone]:
                del self._of_zone[zone]

    def _bucket(self, zone: str, now: float) -> _Bucket:
        if zone not in self._zones:
            self._zones[zone] = _Bucket(BURST_OF_ZONE, PAUSE_OF_ZONE, BURST_OF_ZONE, now)
            if len(self._zones) > MOST_BUCKETS:
                self._zones.popitem(last=False)
        self._zones.move_to_end(zone)
        return self._zones[zone]


def _length(name: str) -> str:
    octets = labels(name)
    if sum(map(len, octets)) + len(octets) - 1 > MOST_OCTETS:
        return f"names of {MOST_OCTETS} octets"
    if any(len(label) > MOST_OF_LABEL for label in octets):
        return f"labels of {MOST_OF_LABEL} octets"
    return ""
