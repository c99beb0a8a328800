"""Ways by namespaces: into the relay's, into those of host processes, past masks."""

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Any

from .dialling import dial
from .kernel import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MNT_DETACH,
    nested,
    setns,
    syscall,
)
from .met import attempt


def by_proc(facts: Any) -> None:
    """Enter the network of the relay, of a host process, of process 1, then dial the host."""
    for pid in (facts.relay, facts.victim, os.getppid(), 1):
        with attempt():
            setns(f"/proc/{pid}/ns/net", CLONE_NEWNET)
        dial_host(facts)


def by_user_first(facts: Any) -> None:
    """Enter the user namespace first, in which one would own the network."""
    for pid in (facts.relay, facts.victim, 1):
        with attempt():
            setns(f"/proc/{pid}/ns/user", CLONE_NEWUSER)
        with attempt():
            setns(f"/proc/{pid}/ns/net", CLONE_NEWNET)
        dial_host(facts)


def by_pidfd(facts: Any) -> None:
    """Enter all namespaces of a process at once, by a descriptor of it."""
    for pid in (facts.relay, facts.victim):
        with attempt():
            descriptor = os.pidfd_open(pid)
            for kinds in (CLONE_NEWUSER | CLONE_NEWNET, CLONE_NEWNET):
                with attempt():
                    syscall("setns", descriptor, kinds)
        dial_host(facts)


def from_nested(facts: Any) -> None:
    """Become root of nested namespaces first."""
    with attempt():
        nested(CLONE_NEWNET)
    by_proc(facts)
    by_user_first(facts)


def by_root_of(facts: Any) -> None:
    """Reach a closed socket by the root, the folder and the descriptors of other processes."""
    for pid in (facts.relay, facts.victim, os.getppid(), 1):
        for folder in (f"/proc/{pid}/root", f"/proc/{pid}/cwd/../../../../.."):
            with attempt():
                say(folder + facts.closed_socket, facts.token)


def unmasked(facts: Any) -> None:
    """Take the masks away: unmount them, and cover what is above them."""
    _unmask(facts)
    say(facts.closed_socket, facts.token)


def unmasked_when_nested(facts: Any) -> None:
    """Do the same as root of a nested mount namespace, where mounts can be made."""
    nested(CLONE_NEWNS)
    _unmask(facts)
    with attempt():
        syscall("mount", b"/", b"/mnt", None, 0x5000, None)  # MS_BIND | MS_REC
        say(f"/mnt{facts.closed_socket}", facts.token)
    with attempt():
        syscall("mount", b"/", b"/mnt", None, 0x1000, None)  # MS_BIND
        say(f"/mnt{facts.closed_socket}", facts.token)
    say(facts.closed_socket, facts.token)


def _unmask(facts: Any) -> None:
    if facts.is_control:
        return  # there is no mask, and what is there is the other attempts' too
    for path in (facts.closed_socket, str(Path(facts.closed_socket).parent), "/run"):
        with attempt():
            syscall("umount2", path.encode(), MNT_DETACH)


def closed(facts: Any) -> None:
    """Speak to the services that resolve names outside."""
    for path in facts.closed_sockets:
        with attempt():
            say(path, facts.token)


def unix(facts: Any) -> None:
    """Speak to sockets of the host, by their paths or abstract names."""
    for path in facts.sockets:
        with attempt():
            say(path.replace("@", "\0", 1) if path.startswith("@") else path, facts.token)


def later(facts: Any) -> None:
    """Speak to a socket that the host has made after the start.

    Its path is there before anybody listens, for bind(2) makes it: a refusal is tried again.
    """
    Path("make it").touch()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
            return say(facts.later_socket, facts.token)
        time.sleep(0.01)
    return say(facts.later_socket, facts.token)


def say(path: str, text: str) -> None:
    """Send something to a UNIX socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(path)
        connection.sendall(text.encode())


def dial_host(facts: Any) -> None:
    """Dial the host's loopback, which is reached from its own network alone."""
    with attempt():
        dial(facts, "127.0.0.1", facts.loopback_port)


def whole_machine(facts: Any) -> None:
    """Use capabilities over the machine: load a kernel, a module, a BPF program."""
    for call, arguments in (
        ("kexec_load", (0, 0, 0, 0)),
        ("init_module", (b"x", 1, b"")),
        ("bpf", (5, bytes(120), 120)),
    ):
        with attempt():
            syscall(call, *arguments)
    for path in ("escaped-disk", "escaped-console"):
        with attempt():
            os.mknod(path, 0o060600 if "disk" in path else 0o020600, os.makedev(4, 1))
