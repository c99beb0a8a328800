"""How an offer is refused whose dial has failed: by the same ICMP code, or the nearest."""

from typing import Final

from relay.inbound.offer import Refusal
from relay.outbound.patience import RESET, DialError
from relay.record.kinds import UNAWAITED

_NEAREST: Final = {
    RESET: Refusal.REFUSED,  # a reset to who was accepted, and all there is for a SYN
    5: Refusal.HOST_UNREACHABLE,
    6: Refusal.NETWORK_UNREACHABLE,
    7: Refusal.HOST_UNREACHABLE,
    8: Refusal.HOST_UNREACHABLE,
    11: Refusal.NETWORK_UNREACHABLE,
    12: Refusal.HOST_UNREACHABLE,
    14: Refusal.PROHIBITED,
    15: Refusal.PROHIBITED,
}
"""For codes that are seldom or never sent: the nearest in meaning, mostly in errno too."""


def refusal_for(error: DialError) -> Refusal:
    """Return the refusal that tells the program of a failed dial."""
    if error.code is not None:
        return _NEAREST.get(error.code) or Refusal(error.code)
    return Refusal.NO_ANSWER if error.kind in UNAWAITED else Refusal.HOST_UNREACHABLE
