"""What each level of isolation leaves open, by name, so that nobody has to find it out; pure.

tests/escape tries all ways out, and fails if one is open that is not here, or one is here that is
closed. `keepline doctor` prints what holds for its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Level: TypeAlias = Literal["default", "strict"]

_BOTH: Final[tuple[Level, ...]] = ("default", "strict")
_DEFAULT: Final[tuple[Level, ...]] = ("default",)


@dataclass(frozen=True)
class Opening:
    """One thing that is left open."""

    name: str
    sentence: str
    levels: Sequence[Level]
    """Those that leave it open."""
    is_for_user: bool = True
    """Whether an ordinary user's command can use it; root's can use each."""

    def is_open(self, level: str, *, is_root: bool) -> bool:
        """Return whether a level leaves it open to a caller."""
        return level in self.levels and (is_root or self.is_for_user)


OPENINGS: Final = (
    Opening(
        "files",
        "the command reads and writes the caller's files, and others act on them later:"
        " what a shell reads at its start, settings by which later sessions open ports of the"
        " host, a pipe that is read, the session's own record; config.toml may hold credentials",
        _BOTH,
    ),
    Opening(
        "root's files",
        "root's command writes root's files on the host: cron, services, setuid programs",
        _BOTH,
        is_for_user=False,
    ),
    Opening(
        "devices",
        "root's command opens the nodes of devices: disks, the kernel's log",
        _DEFAULT,
        is_for_user=False,
    ),
    Opening(
        "kernel settings",
        "root's command writes the settings of the host's kernel (core_pattern, modprobe), its"
        " triggers and its control groups",
        _DEFAULT,
        is_for_user=False,
    ),
    Opening(
        "processes",
        "the caller's other processes, the relay and what is beside it among them, can be killed,"
        " stopped and limited, and their command lines read, credentials in a flag among them;"
        " their memory and descriptors cannot",
        _DEFAULT,
    ),
    Opening(
        "sockets",
        "whoever listens at a UNIX socket with a path can be asked to act outside: the session's"
        " bus, systemd, docker, podman, agents of ssh and gpg, terminal multiplexers",
        _DEFAULT,
    ),
    Opening(
        "later sockets",
        "UNIX sockets in the home and the working folder that come after the start can be reached",
        _BOTH,
    ),
    Opening(
        "passed-on descriptors",
        "what the caller passes on is the command's: whoever is at the other end of a UNIX socket"
        " can pass more, and in the default level a folder leads to what is below it",
        _BOTH,
    ),
    Opening(
        "terminals",
        "the user's other terminals can be written to, and what is typed there can be read",
        _DEFAULT,
    ),
    Opening(
        "shared memory",
        "shared memory and message queues of System V and POSIX are the host's",
        _DEFAULT,
    ),
    Opening("keyring", "the session's keyring is the caller's, keyrings(7)", _DEFAULT),
    Opening(
        "private networks",
        "the local network, the host's own addresses and the metadata address of clouds are"
        " reached unless a rule denies them",
        _DEFAULT,
    ),
    Opening(
        "servers inside",
        "what listens inside is offered at the host's loopback, to every user of the host and to"
        " pages in its browser; --publish off offers nothing",
        _DEFAULT,
    ),
    Opening(
        "proxies",
        "a proxy resolves names itself, and connects to what rules deny by address alone;"
        " --proxy-dns has each address judged",
        _BOTH,
    ),
    Opening(
        "socketcall",
        "the i386 call `socketcall`, int 0x80, makes sockets of families that have no network"
        " namespace, such as AF_VSOCK",
        _DEFAULT,
    ),
)
