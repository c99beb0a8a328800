"""Servers of the host's behind UNIX sockets."""

from typing import Final

from tests.escape import witnesses
from tests.escape.arena import ABSTRACT, BUS, DOCKER, SYSTEMD
from tests.escape.row import Row, everywhere, nowhere, until_strict
from tests.escape.stages.files import later_socket, socket_of

_MASKED: Final = "masked"

ROWS: Final = [
    Row(
        way="the system bus, nscd, systemd-resolved, avahi",
        program="spaces.closed",
        witness=witnesses.heard,
        at=everywhere(_MASKED),
    ),
    Row(
        way="abstract UNIX sockets, X11's among them",
        program="spaces.unix",
        witness=witnesses.heard,
        at=everywhere("they belong to the host's network namespace"),
        facts={"sockets": ABSTRACT},
    ),
    *(
        Row(
            way=way,
            program="spaces.unix",
            witness=witnesses.heard,
            at=until_strict("sockets", how),
            stage=socket_of(name),
        )
        for way, name, how in (
            ("the session's bus", BUS, "a private /run"),
            ("systemd of the user's, by its socket", SYSTEMD, "a private /run"),
            ("docker.sock", DOCKER, "a private /run"),
            ("ssh-agent, in /tmp", "agent", "a private /tmp"),
            ("a terminal multiplexer's server, in /tmp", "multiplexer", "a private /tmp"),
            ("gpg-agent, in the home", "keys", "masked, for it was there at the start"),
            ("a socket in the working folder", "work", "masked, for it was there at the start"),
        )
    ),
    Row(
        way="a socket in the home that comes later",
        program="spaces.later",
        witness=witnesses.heard,
        at=nowhere("later sockets"),
        stage=later_socket,
    ),
]
