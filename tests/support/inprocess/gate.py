"""The gate of questions as a session without rules has it; what passes is not recorded."""

from relay.dns.gate import Gate
from relay.policy.policy import Policy


def open_gate() -> Gate:
    """Return one that keeps nothing."""
    policy = Policy()
    return Gate(policy, lambda _event: None)
