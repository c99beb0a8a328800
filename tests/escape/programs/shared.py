"""Ways by what processes of one machine share without a file: memory, queues, keys."""

import ctypes
import os
from pathlib import Path
from typing import Any, Final

from .kernel import syscall
from .met import attempt

_CREATE: Final = 0o1000
_SESSION: Final = -3
_USER: Final = -4
_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p


def _checked(result: int | None) -> int:
    if result in (-1, None, ctypes.c_void_p(-1).value):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    assert result is not None
    return result


def system_v(facts: Any) -> None:
    """Leave the token in shared memory of System V."""
    segment = _checked(_libc.shmget(facts.key, 4096, _CREATE | 0o666))
    place = _checked(_libc.shmat(segment, None, 0))
    ctypes.memmove(place, facts.token.encode(), len(facts.token))


def queue(facts: Any) -> None:
    """Send the token to a message queue of POSIX."""
    flags = os.O_CREAT | os.O_RDWR
    number = _checked(_libc.mq_open(f"/{facts.token}".encode(), flags, 0o666, None))
    _checked(_libc.mq_send(number, facts.token.encode(), len(facts.token), 0))


def memory_file(facts: Any) -> None:
    """Leave the token in /dev/shm."""
    path = Path("/dev/shm", facts.token)
    path.write_text(facts.token)
    path.chmod(0o666)


def keyring(facts: Any) -> None:
    """Leave the token in the keyrings of the session and of the user."""
    for ring in (_SESSION, _USER):
        with attempt():
            text = facts.token.encode()
            key = syscall("add_key", b"user\0", text + b"\0", text, len(text), ring)
            syscall("keyctl", 5, key, 0x3F3F3F3F)  # KEYCTL_SETPERM, for the host to look


def temporary(facts: Any) -> None:
    """Leave the token in /tmp."""
    Path("/tmp", facts.token).write_text(facts.token)
