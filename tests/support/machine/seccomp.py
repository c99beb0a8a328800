"""Real seccomp filters, as containers install them: some system calls fail, all others work."""

import ctypes
import errno
import platform
import socket
import struct
from typing import Final

from netns import syscalls

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_SECCOMP_RET_ALLOW: Final = 0x7FFF_0000
_SECCOMP_RET_ERRNO: Final = 0x0005_0000

# Classic BPF: load a word of struct seccomp_data, jump if equal, return; linux/bpf_common.h.
_LOAD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_NUMBER: Final = 0
_FIRST_ARGUMENT: Final = 16

_AF_NETLINK: Final = 16
_NETLINK_NETFILTER: Final = 12

# Numbers of system calls, asm/unistd.h.
_NUMBERS: Final = {
    "x86_64": {
        "accept4": 288,
        "bind": 49,
        "clone": 56,
        "epoll_create1": 291,
        "epoll_ctl": 233,
        "fcntl": 72,
        "getpid": 39,
        "getppid": 110,
        "ioctl": 16,
        "keyctl": 250,
        "landlock_create_ruleset": 444,
        "landlock_restrict_self": 446,
        "listen": 50,
        "mount": 165,
        "mount_setattr": 442,
        "pipe2": 293,
        "prctl": 157,
        "prlimit64": 302,
        "recvfrom": 45,
        "seccomp": 317,
        "sendmsg": 46,
        "sendto": 44,
        "setitimer": 38,
        "setsockopt": 54,
        "signalfd4": 289,
        "socket": 41,
        "socketpair": 53,
        "umount2": 166,
        "uname": 63,
        "unshare": 272,
        "wait4": 61,
    },
    "aarch64": {
        "accept4": 242,
        "bind": 200,
        "clone": 220,
        "epoll_create1": 20,
        "epoll_ctl": 21,
        "fcntl": 25,
        "getpid": 172,
        "getppid": 173,
        "ioctl": 29,
        "keyctl": 219,
        "landlock_create_ruleset": 444,
        "landlock_restrict_self": 446,
        "listen": 201,
        "mount": 40,
        "mount_setattr": 442,
        "pipe2": 59,
        "prctl": 167,
        "prlimit64": 261,
        "recvfrom": 207,
        "seccomp": 277,
        "sendmsg": 211,
        "sendto": 206,
        "setitimer": 103,
        "setsockopt": 208,
        "signalfd4": 74,
        "socket": 198,
        "socketpair": 199,
        "umount2": 39,
        "uname": 160,
        "unshare": 97,
        "wait4": 260,
    },
}


def forbid(call: str, error: str) -> None:
    """Make a system call fail with the errno of this name; with "0" it only seems to work.

    `prctl.24` is the call whose first argument is 24; else it fails whatever its arguments are.
    """
    name, _, first = call.partition(".")
    arguments = {0: int(first, 0)} if first else {}
    _install(name, arguments, 0 if error == "0" else getattr(errno, error))


def forbid_unshare() -> None:
    """Make unshare(2) fail, as Docker's default profile does for the unprivileged."""
    _install("unshare", {}, errno.EPERM)


def forbid_netfilter() -> None:
    """Make netlink sockets of netfilter fail, as on a kernel without nfnetlink."""
    _install("socket", {0: _AF_NETLINK, 2: _NETLINK_NETFILTER}, errno.EPROTONOSUPPORT)


def forbid_raw_sockets() -> None:
    """Make raw sockets of IPv4 fail, as in a container without NET_RAW."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    _install("socket", {0: socket.AF_INET, 1: kind}, errno.EPERM)


def _install(call: str, arguments: dict[int, int], number: int) -> None:
    """Make `call` fail with errno `number` if its arguments have these values, by position."""
    conditions = [(_NUMBER, _NUMBERS[platform.machine()][call])]
    conditions += [(_FIRST_ARGUMENT + 8 * place, value) for place, value in arguments.items()]
    program: list[bytes] = []
    for position, (offset, value) in enumerate(conditions):
        to_the_end = 2 * (len(conditions) - position) - 1  # past the rest and the verdict
        program += [_step(_LOAD, offset), _step(_JUMP_IF_EQUAL, value, otherwise=to_the_end)]
    program += [_step(_RETURN, _SECCOMP_RET_ERRNO | number), _step(_RETURN, _SECCOMP_RET_ALLOW)]

    code = ctypes.create_string_buffer(b"".join(program))
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))


def _step(code: int, value: int, *, otherwise: int = 0) -> bytes:
    """Write a struct sock_filter."""
    return struct.pack("HBBI", code, 0, otherwise, value)


def _prctl(option: int, arg2: int, arg3: int = 0) -> None:
    syscalls.prctl(option, arg2, arg3)
