"""The session keyring: which call makes it, and that it is made."""

import errno
import os
import sys
from pathlib import Path

import pytest

from netns import syscalls
from netns.strict import keyring

_UNAME = os.uname()


def of_machine(machine: str) -> os.uname_result:
    return os.uname_result((*_UNAME[:4], machine))


@pytest.mark.parametrize(
    ("machine", "is_small", "number"),
    [
        ("x86_64", False, 250),
        ("aarch64", False, 219),
        ("aarch64", True, 311),  # a 32-bit Python on a 64-bit kernel
        ("x86_64", True, 288),
        ("s390x", False, None),
    ],
)
def test_the_call_is_the_machines(
    monkeypatch: pytest.MonkeyPatch, machine: str, number: int | None, *, is_small: bool
) -> None:
    calls: list[int] = []

    def note(call: int, *_arguments: int) -> int:
        calls.append(call)
        raise OSError(errno.ENOSYS, "the kernel knows no keys")

    monkeypatch.setattr(os, "uname", lambda: of_machine(machine))
    monkeypatch.setattr(sys, "maxsize", (1 << 31) - 1 if is_small else (1 << 63) - 1)
    monkeypatch.setattr(syscalls, "syscall", note)
    keyring.join_new()
    assert calls == ([] if number is None else [number])


def test_any_other_failure_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_call: int, *_arguments: int) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(syscalls, "syscall", fail)
    with pytest.raises(OSError, match="quota"):
        keyring.join_new()


def test_a_process_gets_a_new_one() -> None:
    """What /proc/keys shows of a process is asked in another one, which ends with it."""
    child = os.fork()
    if child == 0:
        try:
            keyring.join_new()
            names = Path("/proc/keys").read_text() if Path("/proc/keys").exists() else "_ses"
            os._exit(0 if "_ses" in names else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
