"""The events of names: how the program's queries and our own are answered."""

from typing import Literal

from relay.record.events.base import CausedEvent, CountedEvent, Event, LossEvent
from relay.record.kinds import UNAWAITED


class NameAssigned(Event):
    """A name got its synthetic address."""

    name: str
    address: str
    displaced: str = ""
    """The name that had it before, and was used longest ago."""

    def text(self) -> str:
        """Return it as a line for people."""
        instead = f", which was that of {self.displaced}" if self.displaced else ""
        return f"name {self.name} is {self.address} in this session{instead}"


class AnswerWithheld(Event):
    """A DNS answer, or a part of it, was kept from the program; recorded once a name and type."""

    name: str
    type: str
    why: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"name {self.name}: {self.type} withheld ({self.why})"


class NameForwarded(Event):
    """A question left for the resolvers that no address tells of; recorded once a name and type.

    Its type is any but A and AAAA; or A, if no address of the session stands for the name.
    """

    name: str
    type: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"name {self.name}: {self.type} asked of the resolvers"


class FurtherNames(CountedEvent):
    """Further names of a zone, after so many that each has an event of its own."""

    zone: str
    """The last two labels, or "other zones"."""
    what: Literal["assigned", "forwarded", "refused", "withheld", "failed"]
    """What happened to them: the event that each would have."""

    @property
    def is_failure(self) -> bool:
        """Whether they were refused."""
        return self.what == "refused"

    def text(self) -> str:
        """Return it as a line for people."""
        return f"names of {self.zone}: more of them {self.what}{self.times()}"


class NamesBounded(CountedEvent):
    """A question was answered by an error, as a bound of keepline's own was met."""

    zone: str
    """The last two labels of the name, or "other zones"."""
    cause: str

    @property
    def is_loss(self) -> bool:
        """True: nothing but keepline is the reason."""
        return True

    def text(self) -> str:
        """Return it as a line for people."""
        return f"names of {self.zone}: not asked for: {self.cause}{self.times()}"


class NameRefused(CountedEvent):
    """Policy forbids the name, and no query left; or an alias that its answer leads through."""

    name: str
    type: str
    rule: str
    reason: str = ""
    """Why the rule is there, as whoever wrote it says."""
    alias: str = ""
    """The forbidden name to which the name's CNAMEs lead; empty if it is the name itself."""

    @property
    def detail(self) -> str:
        """The alias and the rule's reason, for people, as the end of a phrase."""
        alias = f"an alias of {self.alias}" if self.alias else ""
        told = "; ".join(filter(None, (alias, self.reason)))
        return f" ({told})" if told else ""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"name {self.name}: {self.type} refused: {self.rule}{self.detail}{self.times()}"


class LookupFailed(CountedEvent):
    """No resolver gave a usable answer."""

    name: str
    type: str
    cause: str
    verdict: bool = False
    """Whether the name itself is at fault: the program got the error that it gets alone."""
    seconds: float = 0.0
    """For which it was asked, in vain, until the command ended; else 0."""

    @property
    def is_loss(self) -> bool:
        """Whether an outage was the reason."""
        return not self.verdict and self.kind not in UNAWAITED

    def text(self) -> str:
        """Return it as a line for people."""
        return f"name {self.name}: {self.type} not resolved: {self.cause}{self.times()}"


class LookupHeld(LossEvent):
    """The resolvers did not answer at first, and then did; who asked has waited meanwhile."""

    name: str
    cause: str
    """Of the first failure."""
    seconds: float
    """From the first question to the answer."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"name {self.name}: answered after {self.seconds:.1f} s; at first: {self.cause}"


class ServedStale(LossEvent):
    """No resolver answered, so the last known answer was used once more, RFC 8767."""

    name: str
    cause: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"name {self.name}: last known address used again ({self.cause})"


class ResolverSilent(CausedEvent):
    """A resolver gave no usable answer in time; the next one was asked."""

    server: str
    cause: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"resolver {self.server} gave no answer: {self.cause}"


class ResolversChanged(Event):
    """The host's resolv.conf names other resolvers now."""

    resolvers: list[str]

    def text(self) -> str:
        """Return it as a line for people."""
        return f"resolvers are now {', '.join(self.resolvers)}"
