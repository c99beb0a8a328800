"""Where a namespace cannot be entered, doctor says why servers in it are not reached."""

import socket

from netns.network import netlink
from relay.publishing import trial


def test_a_namespace_that_nobody_can_enter() -> None:
    """It is our own, whose user namespace the kernel lets nobody enter again."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG) as diag:
        assert trial.lacking(diag) in {"Invalid argument", "Operation not permitted"}
