"""Who sees whether a way leads out: always the host, never the program's word."""

import contextlib
import ctypes
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.internet.world import CLIENT
from tests.support.machine.procfs import borrowed

from .attempts import Attempt
from .row import Witness

_IPV4: Final = b"\x08\x00"
_NAMESPACES: Final = ("net:[", "user:[", "mnt:[")


def heard(attempt: Attempt) -> bool:
    """A server heard the token."""
    return attempt.heard()


def on_wire(attempt: Attempt) -> bool:
    """The token stands in a frame on the host's wire."""
    token = attempt.token.encode()
    return attempt.heard() or any(token in frame for frame in attempt.arena.capture.frames())


def with_options(attempt: Attempt) -> bool:
    """A packet of the host's on the wire has options of IP, RFC 791 section 3.1."""
    ours = socket.inet_aton(CLIENT)
    return any(
        frame[12:14] == _IPV4 and frame[26:30] == ours and frame[14] & 15 > 5
        for frame in attempt.arena.capture.frames()
    )


def asked(attempt: Attempt) -> bool:
    """A name server outside was asked for a name that has the token in it, in whatever case."""
    internet = attempt.arena.internet
    names = [
        query.name for zone in (internet.zone, internet.zone_of_other) for query in zone.queries
    ]
    return any(attempt.token in name.lower() for name in names)


def told(attempt: Attempt) -> bool:
    """The program knows what only the host knew."""
    return attempt.secret in attempt.told


def holds(pattern: str) -> Witness:
    """Return a witness: a process of the attempt holds such a descriptor, as `shown` has it."""

    def witness(attempt: Attempt) -> bool:
        return any(re.search(pattern, text) for pid in below(attempt.pid) for text in shown(pid))

    return witness


def shares_sockets(attempt: Attempt) -> bool:
    """The program holds what the relay holds."""
    return holds_what_is_of(attempt, attempt.pid)


def holds_what_is_of(attempt: Attempt, pid: int) -> bool:
    """Return whether the program holds a socket of a process, or what /proc has of one."""
    own = {text for text in _links(pid) if text.startswith("socket:")}
    programs = [each for each in below(attempt.pid) if _is_program(each)]
    return any(
        text in own or text.endswith("/mem") or text.startswith(_NAMESPACES)
        for each in programs
        for text in _links(each)
    )


def _is_program(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"programs.main" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0--\0")[0]
    return False


def below(pid: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield pid
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from below(int(child))


def shown(pid: int) -> Iterator[str]:
    """Yield what each descriptor of a process is: link, kind of device, flags, socket's family."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            for path in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    yield _described(pid, pidfd, int(path.name))
        finally:
            os.close(pidfd)


def _described(pid: int, pidfd: int, number: int) -> str:
    path = Path(f"/proc/{pid}/fd/{number}")
    status = path.stat()
    words = [str(path.readlink())]
    if stat.S_ISBLK(status.st_mode):
        words.append("disk")
    if stat.S_ISCHR(status.st_mode):
        words.append(f"device {os.major(status.st_rdev)}:{os.minor(status.st_rdev)}")
    if stat.S_ISSOCK(status.st_mode):
        with borrowed(pidfd, number) as sock:
            words.append(f"family {sock.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)}")
    flags = re.search(r"flags:\s*(\d+)", Path(f"/proc/{pid}/fdinfo/{number}").read_text())
    if flags and int(flags.group(1), 8) & os.O_ACCMODE:
        words.append("for writing")
    return " ".join(words)


def _links(pid: int) -> list[str]:
    found = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(path.readlink()))
    return found


def in_hosts_namespace(attempt: Attempt) -> bool:
    """A process of the attempt, but the relay, has its capabilities in the host's own namespace."""
    own = Path("/proc/self/ns/user").readlink()
    for pid in below(attempt.pid):
        with contextlib.suppress(OSError):
            if _is_program(pid) and Path(f"/proc/{pid}/ns/user").readlink() == own:
                return True
    return False


def written(attempt: Attempt) -> bool:
    """A file of the host's has the token in it."""
    paths: list[str] = attempt.kept["paths"]
    return any(
        attempt.token in Path(path).read_text(errors="replace")
        for path in paths
        if Path(path).exists()
    )


def exists(attempt: Attempt) -> bool:
    """A file is there on the host."""
    return any(Path(path).exists() for path in attempt.kept["paths"])


def roots_program(attempt: Attempt) -> bool:
    """A program is there on the host that runs as its root, whoever starts it."""
    with contextlib.suppress(FileNotFoundError):
        status = Path(attempt.kept["setuid"]).stat()
        return status.st_uid == 0 and bool(status.st_mode & stat.S_ISUID)
    return False


_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p


def in_shared_memory(attempt: Attempt) -> bool:
    """The host finds the token in shared memory of System V."""
    segment = _libc.shmget(attempt.kept["key"], 0, 0)
    if segment < 0:
        return False
    place = _libc.shmat(segment, None, 0o10000)  # SHM_RDONLY
    if place in (None, ctypes.c_void_p(-1).value):
        return False
    found = ctypes.string_at(place, len(attempt.token)).decode(errors="replace")
    _libc.shmdt(ctypes.c_void_p(place))
    return found == attempt.token


def in_queue(attempt: Attempt) -> bool:
    """The host finds the message queue."""
    number = _libc.mq_open(f"/{attempt.token}".encode(), os.O_RDONLY | os.O_NONBLOCK)
    if number < 0:
        return False
    os.close(number)
    return True


def in_keyring(attempt: Attempt) -> bool:
    """The host's own session keyring has the token."""
    return attempt.token in Path("/proc/keys").read_text()


def on_terminal(attempt: Attempt) -> bool:
    """The host reads the token from its end of the terminal, or as what was typed."""
    for fd in attempt.kept["terminal"]:
        with contextlib.suppress(BlockingIOError):
            attempt.kept["text"] = attempt.kept.get("text", b"") + os.read(fd, 65536)
    return attempt.token.encode() in attempt.kept.get("text", b"")


def answered(word: str) -> Witness:
    """Return a witness: the kernel's driver has answered by this errno, as only it does."""

    def witness(attempt: Attempt) -> bool:
        return word in attempt.met.split(", ")

    return witness


def on_other_terminal(attempt: Attempt) -> bool:
    """Another terminal shows the token, or the program has read what was typed there."""
    return on_terminal(attempt) or told(attempt)


def has_link(attempt: Attempt) -> bool:
    """The host has an interface of the name that the program chose."""
    with attempt.arena.internet.client:
        return any(name == attempt.kept["link"] for _index, name in socket.if_nameindex())
