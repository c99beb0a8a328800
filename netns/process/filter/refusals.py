"""Which system calls the command is refused, and with which error: a seccomp filter; pure.

What a network namespace does not confine is refused, so that the relay is the only way out; all
else works as without keepline. The kernel shows a filter the number and the arguments of a call
(struct seccomp_data, seccomp(2)), never what a pointer leads to. Therefore two things stay open in
the default level: `socketcall`, by which 32-bit programs of x86 make sockets and whose arguments
are in memory, and descriptors that arrive over a UNIX socket (SCM_RIGHTS, unix(7)).
"""

import errno
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from netns.process.filter.bpf import IfAtLeast, IfEqual, Label, Line, Load, Return, assemble

# Results of a filter, seccomp(2).
ALLOW: Final = 0x7FFF_0000
ERRNO: Final = 0x0005_0000
KILL_PROCESS: Final = 0x8000_0000

# struct seccomp_data. All machines listed here are little-endian: the low word comes first.
NUMBER: Final = 0
ARCHITECTURE: Final = 4
ARGUMENTS: Final = 16

TIOCSTI: Final = 0x5412
"""Puts a byte into a terminal's input, as if typed: a shell outside would read it, ioctl_tty(2)."""
TIOCLINUX: Final = 0x541C
"""Pastes a selection into the input of a virtual console, ioctl_console(2)."""

CONFINED: Final[Mapping[int, str]] = {
    1: "UNIX: abstract names are the namespace's; named sockets are files",
    2: "INET: devices, routes and ports are the namespace's",
    10: "INET6: as INET",
    16: "NETLINK: the kernel's side is the namespace's, or absent",
    17: "PACKET: devices are the namespace's",
    15: "KEY: policies and associations of IPsec are the namespace's",
    29: "CAN: devices are the namespace's; none outside the initial one before Linux 4.12",
    30: "TIPC: nodes and bearers are the namespace's",
    33: "RXRPC: sends by UDP sockets of the namespace",
    38: "ALG: encrypts and hashes, has no network",
    41: "KCM: multiplexes TCP sockets of the namespace",
    43: "SMC: has to agree with its peer over a TCP connection of the namespace first",
    44: "XDP: devices are the namespace's",
    45: "MCTP: devices, routes and keys are the namespace's",
}
"""The families of sockets that a network namespace confines, by number, linux/socket.h.

All others are refused, as a kernel that lacks them would: EAFNOSUPPORT.

- VSOCK (40) reaches the hypervisor and its other machines; it has no namespaces before Linux 7.
- QIPCRTR (42) reaches modems and signal processors: its ports and nodes are the host's.
- IUCV (32) reaches other guests of z/VM, ISDN (34) the telephone network: no namespaces.
- RDS (21) makes connections over InfiniBand in the initial namespace, whoever asks.
- PPPOX (24): PPTP finds the socket of a call in one table for the whole host.
- AX25, APPLETALK, NETROM, ATMPVC, X25, ROSE, ATMSVC, LLC, BLUETOOTH, IEEE802154 and NFC exist in
  the initial namespace alone: the kernel itself says EAFNOSUPPORT elsewhere.
- PHONET and CAIF need capabilities over the host.
- UNSPEC, BRIDGE, SECURITY, ASH, SNA, WANPIPE, IB and MPLS never made sockets; IPX, DECnet,
  NETBEUI, ECONET and IRDA are gone.
- What is above 45 has come after this list: nobody has looked yet.
"""

# System calls of x86-64 from here on are x32's, a third ABI of the same processor. So were 512 to
# 547 without the bit before Linux 5.4, and no others since. A tracer that skips a call sets -1.
_X32: Final = 0x4000_0000
_X32_NUMBERS: Final = range(512, 548)
_SKIPPED: Final = 0xFFFF_FFFF

_IO_URING: Final = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}


def _numbers(*, ioctl: int, socket: int, socketpair: int, keys: int, **more: int) -> dict[str, int]:
    """Return the numbers of an architecture's calls; the three for keys follow each other."""
    return {
        "ioctl": ioctl,
        "socket": socket,
        "socketpair": socketpair,
        "add_key": keys,
        "request_key": keys + 1,
        "keyctl": keys + 2,
        **_IO_URING,
        **more,
    }


_GENERIC: Final = _numbers(ioctl=29, socket=198, socketpair=199, keys=217)
"""Numbers of asm-generic/unistd.h, which all younger machines have."""


class Architecture(NamedTuple):
    """How a kind of program calls the kernel."""

    name: str
    audit: int
    """AUDIT_ARCH_* of linux/audit.h."""
    numbers: Mapping[str, int]


ARCHITECTURES: Final = (
    Architecture("x86_64", 0xC000_003E, _numbers(ioctl=16, socket=41, socketpair=53, keys=248)),
    Architecture("aarch64", 0xC000_00B7, _GENERIC),
    Architecture(
        "i386",
        0x4000_0003,
        _numbers(ioctl=54, socket=359, socketpair=360, keys=286, socketcall=102),
    ),
    Architecture("arm", 0x4000_0028, _numbers(ioctl=54, socket=281, socketpair=288, keys=309)),
    Architecture("riscv64", 0xC000_00F3, _GENERIC),
    Architecture("riscv32", 0x4000_00F3, _GENERIC),
    Architecture("loongarch64", 0xC000_0102, _GENERIC),
)
"""What the machines that are known here run, 32-bit programs among it."""

_X86: Final = ("x86_64", "i386", "i486", "i586", "i686")


def knows(machine: str) -> bool:
    """Return whether the programs of a machine are among these, by its name as in uname(2)."""
    is_listed = machine.startswith((*_X86, "aarch64", "arm", "riscv", "loongarch64"))
    return is_listed and not machine.endswith(("b", "_be"))


DEFAULT: Final[Mapping[str, str]] = {
    "ioctl": "terminal",
    "socket": "family",
    "socketpair": "family",
    # An io_uring makes sockets and connects them without a system call that a filter sees.
    **dict.fromkeys(_IO_URING, "absent"),
    # With callout information the kernel has /sbin/request-key make the key, as root of the host
    # and on its network: the key type dns_resolver asks any name there, request-key(8).
    "request_key": "upcall",
}
"""What a call goes through, by its name, at the default level: one of the parts below."""

STRICT: Final[Mapping[str, str]] = {
    **DEFAULT,
    **dict.fromkeys(("socketcall", "add_key", "request_key", "keyctl"), "absent"),
}


def program(*, strict: bool) -> bytes:
    """Return the filter, for all architectures at once."""
    parts = STRICT if strict else DEFAULT
    return assemble([*_by_architecture(), *_by_number(parts), *_parts()])


def _by_architecture() -> Iterator[Line]:
    yield Load(ARCHITECTURE)
    for each in ARCHITECTURES:
        yield IfEqual(each.audit, each.name)
    yield Return(KILL_PROCESS)  # the numbers of its calls are not known


def _by_number(parts: Mapping[str, str]) -> Iterator[Line]:
    """Find what each architecture's call goes through."""
    for each in ARCHITECTURES:
        yield Label(each.name)
        yield Load(NUMBER)
        if each.name == "x86_64":
            yield IfEqual(_SKIPPED, "allowed")
            yield IfAtLeast(_X32, "absent")
            yield IfAtLeast(_X32_NUMBERS.stop, "known to x86_64")
            yield IfAtLeast(_X32_NUMBERS.start, "absent")
            yield Label("known to x86_64")
        for call, number in each.numbers.items():
            if call in parts:
                yield IfEqual(number, parts[call])
        yield Return(ALLOW)


def _parts() -> Iterator[Line]:
    """Judge the arguments: of a request or a family 32 bits, as the kernel does."""
    yield Label("terminal")
    yield Load(_low_word(1))
    yield IfEqual(TIOCSTI, "not permitted")
    yield IfEqual(TIOCLINUX, "not permitted")
    yield Return(ALLOW)
    yield Label("family")
    yield Load(_low_word(0))
    for family in CONFINED:
        yield IfEqual(family, "allowed")
    yield Return(ERRNO | errno.EAFNOSUPPORT)
    yield Label("upcall")  # the third argument is a pointer, and none if both words are 0
    yield Load(_low_word(2))
    yield IfAtLeast(1, "no key")
    yield Load(_low_word(2) + 4)
    yield IfAtLeast(1, "no key")
    yield Label("allowed")
    yield Return(ALLOW)
    yield Label("no key")
    yield Return(ERRNO | errno.ENOKEY)
    yield Label("absent")
    yield Return(ERRNO | errno.ENOSYS)
    yield Label("not permitted")
    yield Return(ERRNO | errno.EPERM)


def _low_word(argument: int) -> int:
    """Return where an argument begins, counted from 0."""
    return ARGUMENTS + 8 * argument
