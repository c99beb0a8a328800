"""Which setting of the host most likely forbids what failed while a namespace was made."""

import contextlib
import errno
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_FACTS: Final = {
    "max_user_namespaces": "/proc/sys/user/max_user_namespaces",
    "max_net_namespaces": "/proc/sys/user/max_net_namespaces",
    "unprivileged_userns_clone": "/proc/sys/kernel/unprivileged_userns_clone",
    "apparmor_restrict": "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "apparmor_profile": "/proc/self/attr/current",
}


REPORT: Final = "this is a defect of keepline: please report it with the output of keepline doctor"

_UNCONFINED: Final = (
    "a seccomp filter is in force: start the container with"
    " --security-opt seccomp=unconfined (or a profile that allows unshare and mount)"
)


def host_facts() -> dict[str, str]:
    """Read the settings that decide whether namespaces may be made; absent ones are left out."""
    facts = {}
    for name, path in _FACTS.items():
        try:
            facts[name] = Path(path).read_text().strip("\0\n ")
        except OSError:
            continue  # not on this kernel, or hidden from this container
    with contextlib.suppress(OSError, IndexError):  # a kernel without seccomp names none
        facts["seccomp"] = Path("/proc/self/status").read_text().split("Seccomp:")[1].split()[0]
    return facts


def namespace_hint(  # noqa: C901, PLR0911 - one return a cause
    number: int | None, facts: Mapping[str, str]
) -> str:
    """Name the setting that most likely forbids what failed with errno `number`."""
    for limit in ("max_user_namespaces", "max_net_namespaces"):
        if number == errno.ENOSPC and facts.get(limit) == "0":
            return f"as root: sysctl user.{limit}=15000"
    if number == errno.ENOSPC:
        return "too many namespaces are open: end some, or raise user.max_*_namespaces with sysctl"
    if number == errno.EFBIG:
        return "files may not be as large as keepline needs, a few KiB: raise the limit, ulimit -f"
    if number == errno.ENOSYS and facts.get("seccomp") == "2":
        return _UNCONFINED
    if number in (errno.ENOSYS, errno.EINVAL):
        return "use a kernel built with CONFIG_USER_NS and CONFIG_NET_NS"
    if facts.get("unprivileged_userns_clone") == "0":
        return "as root: sysctl kernel.unprivileged_userns_clone=1"
    if facts.get("apparmor_restrict") == "1":
        return (
            "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this Python"
            " an AppArmor profile that allows userns"
        )
    if facts.get("seccomp") == "2":
        return _UNCONFINED
    if facts.get("apparmor_profile", "unconfined") != "unconfined":
        return "start the container with --security-opt apparmor=unconfined"
    return "check that this user may make user namespaces: unshare --user --net true"


def refused_filter(number: int | None, facts: Mapping[str, str]) -> str:
    """Name what most likely forbids a filter of system calls, which failed with errno `number`."""
    if facts.get("seccomp") == "2" and number != errno.ENOMEM:
        return (
            "another seccomp filter is in force: start the container with"
            " --security-opt seccomp=unconfined (or a profile that allows prctl and seccomp)"
        )
    if number == errno.ENOMEM:
        return "free memory, or nest fewer sandboxes: a process takes 32,768 instructions in all"
    return "use a kernel built with CONFIG_SECCOMP_FILTER"


def kept_capability(facts: Mapping[str, str]) -> str:
    """Name what most likely kept capabilities from being dropped, although no call failed."""
    return _UNCONFINED if facts.get("seccomp") == "2" else REPORT


def end_hint(number: int, facts: Mapping[str, str]) -> str:
    """Name what most likely has ended a process with signal `number`."""
    if number == signal.SIGKILL:
        return "free memory, or raise the limit of this control group: see dmesg"
    if number == signal.SIGSYS and facts.get("seccomp") == "2":
        return _UNCONFINED
    return REPORT


def silent_hint(facts: Mapping[str, str]) -> str:
    """Name what most likely kept a process from saying why it has ended."""
    return _UNCONFINED if facts.get("seccomp") == "2" else REPORT


def refused_call(error: OSError) -> tuple[str, str]:
    """Return cause and next step for a call to the kernel that failed where nobody expected it.

    Which call it was is not known, so the line that made it is named.
    """
    place = ""
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{Path(code.co_filename).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    what = error.filename or f"a call to the kernel in {place}"
    cause = f"{what}: {error.strerror or error}"
    if error.errno in (errno.EPERM, errno.ENOSYS, errno.EACCES):
        if host_facts().get("seccomp") == "2":
            return cause, _UNCONFINED
        return cause, "look for what forbids it: a security module, or a kernel without this call"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return cause, "raise the limit of open files: ulimit -n"
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return cause, "free memory, or raise the limit of processes: ulimit -u"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return cause, "make room on that file system, or make it writable"
    return cause, "keepline doctor; if it finds nothing, please report both"
