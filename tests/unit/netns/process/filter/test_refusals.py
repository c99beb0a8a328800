"""The filter judges every call as a slow reading of the rules does, whatever its numbers are."""

import errno
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netns.process.filter.refusals import (
    ALLOW,
    ARCHITECTURES,
    CONFINED,
    ERRNO,
    KILL_PROCESS,
    TIOCLINUX,
    TIOCSTI,
    Architecture,
    knows,
    program,
)
from tests.support.inprocess.bpf import call, run

PROGRAMS = {strict: program(strict=strict) for strict in (False, True)}
BY_NAME = {each.name: each for each in ARCHITECTURES}
X86_64 = BY_NAME["x86_64"]
REQUESTS = (TIOCSTI, TIOCLINUX, 0x5401, 0x5413)
KEYS = ("add_key", "request_key", "keyctl")
CALLS = sorted({name for each in ARCHITECTURES for name in each.numbers})


def refused(number: int) -> int:
    return ERRNO | number


def reference(  # noqa: PLR0911 - a return for each rule
    architecture: Architecture, number: int, arguments: list[int], *, strict: bool
) -> int:
    """Return what the rules say, one after the other."""
    number &= 0xFFFF_FFFF
    if architecture is X86_64 and number != 0xFFFF_FFFF:
        if number & 0x4000_0000 or number >= 0x4000_0000:
            return refused(errno.ENOSYS)
        if 512 <= number <= 547:
            return refused(errno.ENOSYS)
    name = next((name for name, own in architecture.numbers.items() if own == number), "")
    if name.startswith("io_uring_"):
        return refused(errno.ENOSYS)
    if strict and (name in KEYS or name == "socketcall"):
        return refused(errno.ENOSYS)
    if name == "ioctl" and arguments[1] % 2**32 in (TIOCSTI, TIOCLINUX):
        return refused(errno.EPERM)
    if name in ("socket", "socketpair") and arguments[0] % 2**32 not in CONFINED:
        return refused(errno.EAFNOSUPPORT)
    if name == "request_key" and arguments[2] != 0:
        return refused(errno.ENOKEY)
    return ALLOW


HIGH = st.integers(0, 2**32 - 1).map(lambda high: high << 32)
LOW = st.one_of(st.integers(0, 60), st.sampled_from(REQUESTS), st.integers(0, 2**32 - 1))
ARGUMENTS = st.lists(
    st.one_of(LOW, st.builds(lambda high, low: high | low, HIGH, LOW)), min_size=6, max_size=6
)
NUMBERS = st.one_of(
    st.sampled_from(sorted({own for each in ARCHITECTURES for own in each.numbers.values()})),
    st.integers(500, 560),
    st.integers(0x3FFF_FFF0, 0x4000_0300),
    st.integers(0, 2**32 - 1),
)


@given(st.sampled_from(ARCHITECTURES), NUMBERS, ARGUMENTS, st.booleans())
@example(X86_64, 0xFFFF_FFFF, [0] * 6, False)
@example(X86_64, 0xFFFF_FFFE, [0] * 6, False)
def test_every_call_is_judged_as_the_rules_say(
    architecture: Architecture, number: int, arguments: list[int], strict: bool
) -> None:
    judged = run(PROGRAMS[strict], call(architecture.audit, number, *arguments))
    assert judged == reference(architecture, number, arguments, strict=strict)


@given(st.integers(0, 2**32 - 1).filter(lambda one: one not in {a.audit for a in ARCHITECTURES}))
def test_a_call_of_an_architecture_that_is_not_known_ends_the_process(audit: int) -> None:
    assert run(PROGRAMS[False], call(audit, 1)) == KILL_PROCESS


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("io_uring")])
def test_io_uring_has_one_number_everywhere(name: str) -> None:
    assert len({each.numbers[name] for each in ARCHITECTURES}) == 1


def test_all_architectures_have_the_calls_that_are_refused() -> None:
    for each in ARCHITECTURES:
        lacks = {"socketcall"} - set(each.numbers)
        assert set(each.numbers) | lacks == set(CALLS)
        assert ("socketcall" in each.numbers) == (each.name == "i386")


@pytest.mark.parametrize(
    "name", ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_CAN", "AF_ALG"]
)
def test_the_families_that_programs_need_are_those_of_the_table(name: str) -> None:
    family = int(getattr(socket, name))
    assert CONFINED[family].startswith(name.removeprefix("AF_") + ":")
    for each in ARCHITECTURES:
        for made_by in ("socket", "socketpair"):
            judged = run(PROGRAMS[True], call(each.audit, each.numbers[made_by], family, 1, 0))
            assert judged == ALLOW


@pytest.mark.parametrize(
    "family", [socket.AF_UNSPEC, socket.AF_RDS, socket.AF_VSOCK, socket.AF_QIPCRTR, 31, 46, 2**31]
)
def test_a_family_that_a_network_namespace_does_not_confine_is_refused(family: int) -> None:
    for each in ARCHITECTURES:
        for high in (0, 1 << 32, 0xFFFF_FFFF << 32):
            data = call(each.audit, each.numbers["socket"], family | high, 1, 0)
            assert run(PROGRAMS[False], data) == refused(errno.EAFNOSUPPORT)


def test_strict_refuses_no_less_than_the_default() -> None:
    for each in ARCHITECTURES:
        for name, number in each.numbers.items():
            data = call(each.audit, number, 0, TIOCSTI, 1)
            if run(PROGRAMS[False], data) != ALLOW:
                assert run(PROGRAMS[True], data) != ALLOW, name


@pytest.mark.parametrize(
    "machine", ["x86_64", "i686", "aarch64", "armv7l", "armv8l", "riscv64", "loongarch64"]
)
def test_machines_whose_calls_are_known(machine: str) -> None:
    assert knows(machine)


@pytest.mark.parametrize("machine", ["s390x", "ppc64le", "mips", "aarch64_be", "armv7b", "armeb"])
def test_on_other_machines_nothing_is_said_to_be_refused(machine: str) -> None:
    assert not knows(machine)
