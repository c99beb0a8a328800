"""What is true of the host: its addresses, its resolvers, changes of its network, suspends."""

from netns.errors import KeeplineError


class HostError(KeeplineError):
    """The host lacks what every session needs."""
