"""What a network namespace does not confine, real programs are refused; all else works."""

import platform
from collections.abc import Sequence
from typing import Final

import pytest

from netns.process.filter.refusals import ARCHITECTURES, TIOCLINUX, TIOCSTI
from tests.support.command.calls import calls
from tests.support.command.keepline import Keepline
from tests.support.internet.world import Internet

NUMBERS: Final = {each.name: each.numbers for each in ARCHITECTURES}
OWN: Final = NUMBERS[platform.machine()]
HIGH: Final = 1 << 32
INET, PACKET, NETLINK, RDS, BLUETOOTH, VSOCK, QIPCRTR, UNKNOWN = 2, 17, 16, 21, 31, 40, 42, 46

REFUSED: Final = {
    **{
        f"own {OWN['socket']} {family} {kind} 0": "EAFNOSUPPORT"
        for family in (VSOCK, RDS, BLUETOOTH, QIPCRTR, UNKNOWN, VSOCK | HIGH, -1)
        for kind in (1, 2)
    },
    f"own {OWN['socketpair']} {VSOCK} 1 0 @0,0": "EAFNOSUPPORT",
    f"own {OWN['io_uring_setup']} 8 @{','.join('0' * 30)}": "ENOSYS",
    f"own {OWN['io_uring_enter']} 0 0 0 0": "ENOSYS",
    f"own {OWN['io_uring_register']} 0 0 0 0": "ENOSYS",
    f"own {OWN['ioctl']} 0 {TIOCSTI} @x": "EPERM",
    f"own {OWN['ioctl']} 0 {TIOCSTI | HIGH} @x": "EPERM",
    f"own {OWN['ioctl']} 0 {TIOCLINUX} @x": "EPERM",
    f"own {OWN['request_key']} @dns_resolver @name.test @x 0": "ENOKEY",
}
"""At every level, what no program gets, by what makes it: other machines' calls as well."""

WORKS: Final = {
    f"own {OWN['socket']} {INET} 1 0": "ok",
    f"own {OWN['socket']} {NETLINK} 3 0": "ok",
    f"own {OWN['socketpair']} 1 1 0 @0,0": "ok",
    f"own {OWN['ioctl']} 0 0x5401 @{','.join('0' * 30)}": "ENOTTY",
    "own -1": "ENOSYS",
}

OF_KEYS: Final = {f"own {OWN['add_key']} @user @a @b 1 -2": "ok"}
"""Works at the default level, and is absent in strict."""

if platform.machine() == "x86_64":
    I386: Final = NUMBERS["i386"]
    SOCKETCALL: Final = f"i386 {I386['socketcall']} 1 @1,1,0"
    REFUSED.update(
        {
            f"i386 {I386['socket']} {VSOCK} 1 0": "EAFNOSUPPORT",
            f"i386 {I386['socketpair']} {VSOCK} 1 0 @0,0": "EAFNOSUPPORT",
            f"i386 {I386['io_uring_setup']} 8 @{','.join('0' * 30)}": "ENOSYS",
            f"i386 {I386['ioctl']} 0 {TIOCSTI} @x": "EPERM",
            f"i386 {I386['request_key']} @dns_resolver @name.test @x 0": "ENOKEY",
            # x32, with its bit and, as older kernels took them, without
            f"own {0x4000_0000 | OWN['socket']} {VSOCK} 1 0": "ENOSYS",
            f"own {0x4000_0000 | OWN['socket']} {INET} 1 0": "ENOSYS",
            f"own 514 0 {TIOCSTI} @x": "ENOSYS",
        }
    )
    WORKS.update({f"i386 {I386['socket']} {INET} 1 0": "ok", SOCKETCALL: "ok"})


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


async def told(keepline: Keepline, wanted: Sequence[str], *options: str) -> dict[str, str]:
    """Make calls under keepline; return what came of each."""
    done = await keepline.run(*calls(*wanted), options=options, stdin=b"")
    return dict(zip(wanted, done.stdout.decode().split(), strict=True))


async def test_what_leads_past_the_relay_is_refused(keepline: Keepline) -> None:
    assert await told(keepline, list(REFUSED)) == REFUSED


async def test_what_the_namespace_confines_works(keepline: Keepline) -> None:
    expected = WORKS | OF_KEYS
    assert await told(keepline, list(expected)) == expected


async def test_strict_refuses_keys_and_what_cannot_be_read_as_well(keepline: Keepline) -> None:
    expected = REFUSED | WORKS | dict.fromkeys(OF_KEYS, "ENOSYS")
    expected |= {
        call: "ENOSYS"
        for call in expected
        if call.split()[1] == str(OWN["request_key"]) or "@dns_resolver" in call or "@1,1,0" in call
    }
    assert await told(keepline, list(expected), "--strict") == expected


async def test_a_nested_network_has_packets_and_is_refused_the_same(keepline: Keepline) -> None:
    nested = ["unshare", f"own {OWN['socket']} {PACKET} 3 0", *REFUSED]
    done = await keepline.run(*calls(*nested), stdin=b"")
    assert done.stdout.decode().split() == ["ok", *REFUSED.values()]
