"""What a namespace is to look like; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Intercept: TypeAlias = Literal["tproxy", "redirect", "ports"]
"""How TCP connections are caught: interception.py."""

WAYS: Final[tuple[Intercept, ...]] = ("tproxy", "redirect", "ports")
"""The preferred one first."""

COMMON_PORTS: Final = (
    *(21, 22, 25, 80, 110, 143, 389, 443, 465, 587, 636, 853, 993, 995, 8443, 9418, 11371),
)
"""What can be reached where the kernel has no nf_tables: one listener for each.

Ports that development servers like are not here: the program could not bind them.
"""

OWN_ADDRESS: Final = "198.18.0.1"
"""The namespace's address by default, from RFC 2544's range: never that of a host outside."""


@dataclass(frozen=True)
class Plan:
    """A namespace, and the command that is to run in it."""

    command: Sequence[str]
    """Empty: make everything, hand it over, and exit (doctor)."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts that the namespace sees in place of the host's files, by path."""
    owned: Sequence[str] = ()
    """Files of root that programs read only if they are root's or the caller's own."""
    owned_folders: Sequence[str] = ()
    """Folders of such files alone."""
    device: str = ""
    """The name of the host's interface, which the namespace's is to have; empty: lo alone."""
    addresses: Sequence[tuple[str, int]] = ()
    """The host's, with the lengths of their prefixes; the one that it sends from comes first."""
    gateway: str = ""
    """Of the host's default route; empty if it has none, or none with a gateway."""
    environment: Mapping[str, str | None] = field(default_factory=dict)
    """Added to the caller's; None for a variable that is taken away."""
    instead_of_files: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment where nothing may be mounted, and so no file is covered."""
    has_rules: bool = False
    """Whether the session has rules, so that the program may not choose who resolves names."""
    own_address: str = OWN_ADDRESS
    intercept: Sequence[Intercept] = WAYS
    """Ways to catch TCP connections, the preferred one first."""
    loopback_port: int | None = None
    """A port of the namespace's loopback to listen on as well."""
    ports: Sequence[int] = COMMON_PORTS
    host_ports: Sequence[tuple[int, int]] = ()
    """Ports at which what nobody takes on loopback goes to the relay, by first and last."""
    connect_seconds: float = 300.0
    """How long a connect() that nobody answers has to wait at least, where SYNs are held."""
    strict: bool = False
    """Whether processes, files and sockets of the host are out of reach too."""
    share: Sequence[str] = ()
    """Services of the host that stay within reach all the same, by the names of relay/config.py."""
    private_home: bool = False
    """Whether the home folder is an empty one that ends with the session."""
    read_only: Sequence[str] = ()
    """Folders that the command can read and not write to, as far as this kernel allows."""
    sockets: Sequence[str] = ()
    """Where UNIX sockets of the host are, to be out of reach."""
    may_stay: bool = False
    """Whether the caller's own network namespace does, where it is empty and no other can be made.

    Only where the relay is outside of it.
    """
