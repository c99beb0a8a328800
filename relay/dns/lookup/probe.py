"""Whether resolvers answer anything at all now: one probe serves all lookups that are in doubt."""

from collections.abc import Callable
from dataclasses import dataclass, field

import dns.message
import dns.name
import dns.rdatatype
import trio
from dns.message import QueryMessage

from relay.addresses import Destination
from relay.dns.lookup.errors import Meaning, ResolverError
from relay.dns.lookup.round import Rounds


def address_query(name: str | dns.name.Name) -> QueryMessage:
    r"""Return the question for a name's addresses; raises DNSException if it is no name.

    Text is read as bytes: so an octet that is escaped (`\196`) stays what it is, and is no letter
    that would be converted by the rules for internationalized names to another name.

    It has no EDNS, as libc's has none by itself: there are networks in which nothing else is
    answered, and addresses need no more than TCP gives to those for which a datagram is too small.
    """
    if isinstance(name, str):
        name = dns.name.from_text(name.encode())
    return dns.message.make_query(name, dns.rdatatype.A)


def root_query() -> QueryMessage:
    """Return the question for the root's servers, which each resolver asks itself: RFC 8109."""
    return dns.message.make_query(dns.name.root, dns.rdatatype.NS)


@dataclass(slots=True)
class _Probe:
    """A question whose answer shows that the resolvers work."""

    done: trio.Event = field(default_factory=trio.Event)
    is_answered: bool = False


@dataclass(eq=False)
class Prober:
    """Asks for the name that resolved last; for the root's servers, before there is one."""

    _rounds: Rounds
    _servers: Callable[[], tuple[Destination, ...]]
    _patience: Callable[[], float]
    """Returns the seconds for the server that is asked last."""
    last_good: str | None = None
    _under_way: _Probe | None = None

    async def is_anything_answered(self) -> bool:
        """Return whether anything is answered from now on.

        Many names may fail at once, so one probe serves them all. A lookup that finds one under way
        waits for its end: if it was sent before the lookup failed and is answered after that, it
        will do; if it is not answered at all, the lookup is held until the next round, as in an
        outage. Any other lookup may be answered meanwhile, which shows the same.
        """
        before = self._rounds.answers
        probe = self._under_way
        if probe is None:
            probe = self._under_way = _Probe()
            try:
                probe.is_answered = await self._ask()
            finally:
                probe.done.set()
                self._under_way = None
        await probe.done.wait()
        return probe.is_answered or self._rounds.answers > before

    async def _ask(self) -> bool:
        query = root_query() if self.last_good is None else address_query(self.last_good)
        try:
            await self._rounds.ask(query, self._servers(), self._patience())
        except ResolverError as error:
            return error.meaning is Meaning.VERDICT
        return True
