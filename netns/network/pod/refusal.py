"""What the kernel refuses of a pod's rules, told with what most likely is missing."""

import errno
import os
from typing import Final

from netns import capabilities
from netns.errors import KeeplineError


class RulesError(KeeplineError):
    """The rules could not be made, or read."""


def refused(number: int, what: str) -> RulesError:
    """Return the error for what the kernel refused to this process."""
    return told(number, what, has_net_admin=capabilities.has(capabilities.NET_ADMIN))


def told(number: int, what: str, *, has_net_admin: bool) -> RulesError:
    """Return the error for what the kernel refused, with what most likely is missing."""
    cause = f"{what}: {os.strerror(number)}"
    if number == errno.EEXIST:
        return RulesError(cause, "let one init step run at a time, and run it again")
    if number == errno.ENETDOWN:
        return RulesError(cause, "bring lo up, as every container engine does")
    if number in (errno.EMSGSIZE, errno.ENOBUFS):
        return RulesError(cause, "exclude fewer networks and ports: larger ones, or ranges")
    if number not in (errno.EPERM, errno.EACCES):
        return RulesError(cause, _NEEDED)
    if has_net_admin:
        return RulesError(
            f"{cause}, although this process has NET_ADMIN",
            "start it in the user namespace that the pod's network belongs to, not one below it",
        )
    return RulesError(
        f"{cause}; this process has no NET_ADMIN",
        "run the init step as root with that capability: runAsUser: 0 and"
        " capabilities: {drop: [ALL], add: [NET_ADMIN]}, or --user 0 --cap-add NET_ADMIN",
    )


_NEEDED: Final = (
    "use a kernel with nf_tables and these parts of it, on the node: modprobe -a nft_chain_nat"
    " nft_redir nft_ct nft_fib_ipv4 nft_fib_ipv6 nft_reject_ipv4 nft_reject_ipv6; rules of routing"
    " by user and port need Linux 4.17"
)
