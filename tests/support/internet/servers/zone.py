"""What the small internet's name server answers, and how it misbehaves; pure, no I/O.

Names are added with their records. A `Trouble` is set for one name, or for all names: a wrong
code, silence, or a delay. Every question asked is kept in `queries`.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

_MOST_ALIASES = 1000


@dataclass(frozen=True)
class Query:
    """One question that reached the name server."""

    name: str  # without the final dot
    kind: str  # A, AAAA, HTTPS ...
    transport: Literal["udp", "tcp"]


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """How answers go wrong: without any field set, they do not."""

    silent: bool = False
    rcode: dns.rcode.Rcode | None = None  # answer nothing but this code
    delay: float = 0.0  # seconds before the answer
    spoil: Callable[[bytes], bytes] | None = None  # what becomes of the answer on its way
    with_edns: bool = False  # whether all this befalls only questions that have EDNS
    over_udp: bool = False  # whether it befalls only datagrams


class _InOrder(dns.rrset.RRset):
    """Records that go out in their order: dnspython shuffles them."""

    __slots__: Sequence[str] = ()

    def to_wire(self, *arguments: Any, **options: Any) -> int:
        """Write them."""
        return super().to_wire(*arguments, **(options | {"want_shuffle": False}))


@dataclass
class Zone:
    """All names there are; a name without records of the asked kind is NODATA."""

    trouble: Trouble = field(default_factory=Trouble)  # for every name that has none of its own
    queries: list[Query] = field(default_factory=list)
    _records: dict[dns.name.Name, dict[dns.rdatatype.RdataType, dns.rrset.RRset]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _troubles: dict[dns.name.Name, Trouble] = field(default_factory=dict)

    def add(self, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        """Set the records of one kind, in the text form of zone files.

        For example add("a.test", "A", "192.0.2.1"), add("b.test", "CNAME", "a.test.").
        """
        records = dns.rrset.from_text(_absolute(name), ttl, "IN", kind, *values)
        self._records[records.name][records.rdtype] = records

    def add_large(self, name: str, size: int) -> None:
        """Add TXT records of about `size` bytes in all, more than fits into one UDP answer."""
        strings = [f'"{number:03}{"x" * 197}"' for number in range(size // 200)]
        self.add(name, "TXT", *strings)

    def keep_order(self, name: str, kind: str) -> None:
        """Send the records of one kind in the order in which they were added."""
        self._records[_absolute(name)][dns.rdatatype.from_text(kind)].__class__ = _InOrder

    def remove(self, name: str, kind: str | None = None) -> None:
        """Forget the records of one kind, or the whole name: it is NXDOMAIN then."""
        records = self._records[_absolute(name)]
        if kind is not None:
            del records[dns.rdatatype.from_text(kind)]
        if kind is None or not records:
            del self._records[_absolute(name)]

    def set_trouble(self, name: str, trouble: Trouble) -> None:
        """Have one name misbehave; a `Trouble()` makes it well again whatever the others do."""
        self._troubles[_absolute(name)] = trouble

    def trouble_with(
        self, query: dns.message.Message, transport: Literal["udp", "tcp"] = "udp"
    ) -> Trouble:
        """Return how the answer to this query is to go wrong."""
        trouble = self._troubles.get(query.question[0].name, self.trouble)
        if trouble.with_edns and query.edns < 0:
            return Trouble()
        return Trouble() if trouble.over_udp and transport != "udp" else trouble

    def note(self, query: dns.message.Message, transport: Literal["udp", "tcp"]) -> None:
        """Keep the question for the tests to look at."""
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.queries.append(Query(name, dns.rdatatype.to_text(question.rdtype), transport))

    def answer(
        self, query: dns.message.Message, trouble: Trouble | None = None
    ) -> dns.message.Message:
        """Build the whole answer, however large; aliases are followed."""
        response = dns.message.make_response(query, our_payload=1232)
        response.flags |= dns.flags.RA | dns.flags.AA
        question = query.question[0]
        wrong = (trouble or self.trouble_with(query)).rcode
        if wrong is not None:
            response.set_rcode(wrong)
            return response
        name = question.name
        for _ in range(_MOST_ALIASES):
            records = self._records.get(name)
            if records is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                return response
            if question.rdtype in records:
                response.answer.append(records[question.rdtype])
                return response
            alias = records.get(dns.rdatatype.CNAME)
            if alias is None:
                return response
            response.answer.append(alias)
            name = alias[0].target
        return response


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name.rstrip(".") + ".")
