"""The events of a pod's relay: the rules that lead programs to it, and its record in parts."""

from relay.record.events.base import Event, LossEvent


class RulesLacking(LossEvent):
    """Connections of the pod's programs do not come to the relay; from the start on, or by now."""

    cause: str

    def text(self) -> str:
        """Return it as a line for people."""
        return f"programs are not relayed: {self.cause}"


class RulesStand(Event):
    """Connections of the pod's programs come to the relay, and have not before."""

    def text(self) -> str:
        """Return it as a line for people."""
        return "the pod's rules stand: programs are relayed"


class LogContinued(Event):
    """This file of the record is full, and the last event in it; the next one has what follows.

    That begins with the events of the connections that go on.
    """

    session: str
    """The name of the next one."""

    def text(self) -> str:
        """Return it as a line for people."""
        return f"the record goes on in {self.session}"
