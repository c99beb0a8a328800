"""Where a namespace cannot be entered, doctor says why servers in it are not reached."""

import socket
from pathlib import Path
from typing import cast

from relay.publishing import trial


def test_a_namespace_that_nobody_can_enter() -> None:
    """What is asked for it is no socket, so that the kernel knows of none."""
    with Path("/dev/null").open("rb") as file:
        assert trial.lacking(cast("socket.socket", file)) == "Inappropriate ioctl for device"
