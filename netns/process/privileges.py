"""What the command may not keep: every capability, or for root those over the namespace."""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from netns import capabilities, syscalls
from netns.errors import SandboxError
from netns.hints import host_facts, kept_capability

# capabilities(7); what a package manager needs to write files as root and to become its own user:
# CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, SYS_CHROOT
# and SETFCAP.
_ROOT_KEEPS: Final = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 18, 31})
_MAX_CAPABILITY: Final = 64
_SETS: Final = ("CapInh", "CapBnd", "CapAmb")
"""The sets out of which exec makes a program's capabilities, as /proc/PID/status names them."""


def drop(*, keep_root: bool) -> None:
    """Shrink the bounding set, so that no exec brings back what is dropped here.

    With `keep_root`, uid 0 keeps what does not reach the network or the mounts of the
    namespace. For any other uid the capabilities themselves vanish at exec. What is left is read
    back: raises SandboxError if it is more than that, or the caller lacks SETPCAP, and OSError if
    another call fails.
    """
    kept = _ROOT_KEEPS if keep_root else frozenset()
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_MAX_CAPABILITY):
        try:
            held = syscalls.prctl(syscalls.PR_CAPBSET_READ, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                break  # past the kernel's last capability
            raise
        if held and capability not in kept:
            _drop(capability)
    _read_back(sum(1 << capability for capability in kept))


def _drop(capability: int) -> None:
    """Take one out of the bounding set."""
    try:
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
    except OSError as error:
        if error.errno == errno.EPERM and not capabilities.has(capabilities.SETPCAP):
            cause = "capabilities cannot be dropped without SETPCAP"
            raise SandboxError(cause, "start the container with --cap-add SETPCAP") from error
        raise


def _read_back(kept: int) -> None:
    """Compare what exec would start from with what may be kept: a filter can feign the calls."""
    sets = capability_sets(Path("/proc/self/status").read_text())
    beyond = {name: held & ~(kept if name == "CapBnd" else 0) for name, held in sets.items()}
    left = [f"{name} {held:x}" for name, held in beyond.items() if held]
    if left or len(sets) != len(_SETS):
        raise SandboxError(
            f"capabilities are not dropped: {', '.join(left) or 'the sets cannot be read'}",
            kept_capability(host_facts()),
        )


def capability_sets(status: str) -> Mapping[str, int]:
    """Return the sets that exec starts from, as bits, out of the text of /proc/PID/status."""
    fields = (line.partition(":") for line in status.splitlines())
    return {name: int(value, 16) for name, _colon, value in fields if name in _SETS}
