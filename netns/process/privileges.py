"""What the command may not keep: every capability, or for root those over the namespace."""

from typing import Final

from netns import syscalls

# capabilities(7); what a package manager needs to write files as root and to become its own user:
# CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, SYS_CHROOT
# and SETFCAP.
_ROOT_KEEPS: Final = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 18, 31})
_MAX_CAPABILITY: Final = 64


def drop(*, keep_root: bool) -> None:
    """Shrink the bounding set, so that no exec brings back what is dropped here.

    With `keep_root`, uid 0 keeps what does not reach the network or the mounts of the
    namespace. For any other uid the capabilities themselves vanish at exec.
    """
    kept = _ROOT_KEEPS if keep_root else frozenset()
    syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_MAX_CAPABILITY):
        try:
            held = syscalls.prctl(syscalls.PR_CAPBSET_READ, capability)
        except OSError:
            break  # EINVAL: past the kernel's last capability
        if held and capability not in kept:
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
