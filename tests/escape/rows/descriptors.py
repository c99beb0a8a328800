"""Descriptors that the caller passes on, and those that no namespace holds."""

from collections.abc import Callable
from typing import Final

from tests.escape import witnesses
from tests.escape.attempts import Attempt
from tests.escape.row import Closed, Open, Row, everywhere, nowhere
from tests.escape.stages import descriptors as stages
from tests.escape.stages.common import together
from tests.escape.stages.descriptors import accomplice, inheriting
from tests.escape.stages.processes import victim

_CLOSED: Final = "closed before the command starts, and named"
_REFUSED: Final = "refused, exit 125"
_FILTER: Final = "seccomp: EAFNOSUPPORT"
_FAMILIES: Final = (27, 30, 31, 32, 34, 37, 39, 40, 42)
"""Those that know no network namespace, linux/socket.h: of the machine's own devices."""
_HELD_FAMILY: Final = witnesses.holds(r" family (27|30|31|32|34|37|39|40|42)( |$)")


def _held(way: str, make: Callable[[Attempt], int], pattern: str, may_lack: str = "") -> Row:
    return Row(
        way=f"an inherited descriptor: {way}",
        program="descriptors.hold",
        witness=witnesses.holds(pattern),
        at=everywhere(_CLOSED),
        stage=inheriting(make),
        may_lack=may_lack,
    )


ROWS: Final = [
    Row(
        way="an inherited descriptor: a connected TCP socket",
        program="descriptors.write",
        witness=witnesses.heard,
        at=everywhere(_CLOSED),
        stage=inheriting(stages.tcp),
    ),
    Row(
        way="the same, aimed anew by connect(2) with AF_UNSPEC",
        program="descriptors.aim_again",
        witness=witnesses.heard,
        at=everywhere(_CLOSED),
        stage=inheriting(stages.tcp),
    ),
    Row(
        way="a TCP socket of the host as stdin",
        program="descriptors.aim_again",
        witness=witnesses.heard,
        at=everywhere(_REFUSED),
        stage=inheriting(stages.tcp, 0),
        ends=True,
    ),
    Row(
        way="a UDP socket of the host as stdin",
        program="descriptors.write",
        witness=witnesses.on_wire,
        at=everywhere(_REFUSED),
        stage=inheriting(stages.udp, 0),
        ends=True,
    ),
    Row(
        way="an inherited descriptor: the host's network namespace",
        program="descriptors.enter",
        witness=witnesses.heard,
        at=everywhere(_CLOSED),
        stage=inheriting(stages.network),
    ),
    Row(
        way="an inherited descriptor: the host's user namespace",
        program="descriptors.enter",
        witness=witnesses.heard,
        at=everywhere(_CLOSED),
        stage=inheriting(stages.users),
    ),
    Row(
        way="an inherited descriptor: a process of the host's",
        program="descriptors.enter",
        witness=witnesses.heard,
        at=everywhere("its namespaces are owned outside"),
        stage=together(victim, inheriting(stages.process)),
    ),
    _held("a tun device", stages.tun, r"net/tun|device 10:200", "a kernel with tun"),
    _held("an io_uring", stages.uring, r"io_uring", "a kernel that lets this user have it"),
    _held("a BPF map", stages.bpf, r"bpf-map", "a kernel that lets this user have it"),
    Row(
        way="an inherited folder, by which a masked socket is reached",
        program="descriptors.below",
        witness=witnesses.heard,
        at={"default": Open("passed-on descriptors"), "strict": Closed(_REFUSED)},
        stage=together(inheriting(stages.folder), stages.by_folder),
        ends=True,
    ),
    Row(
        way="a socket that is sent over an inherited UNIX socket",
        program="descriptors.receive",
        witness=witnesses.heard,
        at=nowhere("passed-on descriptors"),
        stage=accomplice(20),
    ),
    Row(
        way="the same, over stdin",
        program="descriptors.receive",
        witness=witnesses.heard,
        at=nowhere("passed-on descriptors"),
        stage=accomplice(0),
    ),
    Row(
        way="AF_VSOCK, and other families without a network namespace",
        program="calls.families",
        witness=_HELD_FAMILY,
        at=everywhere(_FILTER),
        facts={"families": _FAMILIES},
        may_lack="a kernel with such a family",
    ),
    Row(
        way="the same, with more in the argument's upper half",
        program="calls.high_words",
        witness=_HELD_FAMILY,
        at=everywhere(_FILTER),
        facts={"families": _FAMILIES},
        may_lack="a kernel with such a family",
    ),
    Row(
        way="AF_VSOCK by io_uring",
        program="calls.uring",
        witness=_HELD_FAMILY,
        at=everywhere("seccomp: io_uring_setup is ENOSYS"),
        facts={"families": (40,)},
        may_lack="a kernel that lets this user have io_uring",
    ),
    Row(
        way="AF_VSOCK by `socketcall`, int 0x80",
        program="calls.other_door",
        witness=_HELD_FAMILY,
        at={
            "default": Open("socketcall"),
            "strict": Closed("seccomp: no system call of another architecture"),
        },
        facts={"doors": [["socketcall"]]},
        may_lack="a processor and a kernel with i386's calls",
        ends=True,
    ),
    Row(
        way="AF_VSOCK by `socket`, int 0x80",
        program="calls.other_door",
        witness=_HELD_FAMILY,
        at=everywhere("seccomp: i386's `socket` is looked at too"),
        facts={"doors": [["i386 socket"]]},
        may_lack="a processor and a kernel with i386's calls",
        ends=True,
    ),
    Row(
        way="AF_VSOCK by x32's numbers",
        program="calls.other_door",
        witness=_HELD_FAMILY,
        at=everywhere("seccomp: no system call of x32"),
        facts={"doors": [["x32 socket"]]},
        may_lack="a kernel with x32",
        ends=True,
    ),
]
