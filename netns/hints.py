"""Which setting of the host most likely forbids what failed while a namespace was made."""

import contextlib
import errno
import signal
from collections.abc import Iterator, Mapping
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

_ALLOWING: Final = (
    "a seccomp filter is in force: start the container with --security-opt seccomp=FILE, where FILE"
    " is packaging/seccomp.json of keepline's source"
)

_UNCONFINED: Final = f"{_ALLOWING}, or with --security-opt seccomp=unconfined"

ALLOW_MOUNT: Final = (
    "allow mount in the container: --security-opt apparmor=unconfined, and --security-opt"
    " seccomp=FILE, where FILE is packaging/seccomp.json of keepline's source"
)

_APPARMOR_SETTING: Final = (
    "as root of the host: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this"
    " Python an AppArmor profile that allows userns"
)

_APPARMOR_PROFILE: Final = (
    "AppArmor forbids it: start the container with --security-opt apparmor=unconfined"
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


def namespace_hint(number: int | None, facts: Mapping[str, str]) -> str:
    """Name the setting that most likely forbids what failed with errno `number`."""
    for limit in ("max_user_namespaces", "max_net_namespaces"):
        if number == errno.ENOSPC and facts.get(limit) == "0":
            return f"as root: sysctl user.{limit}=15000"
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    if number == errno.ENOSYS and facts.get("seccomp") == "2":
        return _UNCONFINED
    if number in (errno.ENOSYS, errno.EINVAL):
        return "use a kernel built with CONFIG_USER_NS and CONFIG_NET_NS"
    return "; or ".join(_forbidding(number, facts)) or (
        "check that this user may make user namespaces: unshare --user --net true"
    )


_BY_NUMBER: Final = {
    errno.ENOSPC: (
        "take `--disable-userns` from the bwrap around this; or too many namespaces are open: end"
        " some, or raise user.max_*_namespaces with sysctl"
    ),
    errno.EFBIG: (
        "files may not be as large as keepline needs, a few KiB: raise the limit, ulimit -f"
    ),
    errno.EROFS: (
        "/proc is read-only here: give the container or sandbox one that can be written"
        " (bwrap --proc /proc)"
    ),
}


def _forbidding(number: int | None, facts: Mapping[str, str]) -> Iterator[str]:
    """Yield what may have forbidden it, the likeliest first.

    A seccomp filter says EPERM. AppArmor says EACCES to what a profile denies, and EPERM for a
    capability that it denies, as the host's setting has it.
    """
    if facts.get("unprivileged_userns_clone") == "0":
        yield "as root: sysctl kernel.unprivileged_userns_clone=1"
        return
    has_profile = facts.get("apparmor_profile", "unconfined") != "unconfined"
    if number != errno.EACCES and facts.get("seccomp") == "2":
        yield _UNCONFINED
    if facts.get("apparmor_restrict") == "1":
        yield _APPARMOR_SETTING
    if has_profile and (number == errno.EACCES or facts.get("seccomp") != "2"):
        yield _APPARMOR_PROFILE


def map_hint(number: int | None, facts: Mapping[str, str], *, lacks_setfcap: bool) -> str:
    """Name what forbids to map the caller's ids; the kernel wants CAP_SETFCAP of whoever maps 0.

    So it is since Linux 5.12, user_namespaces(7).
    """
    if number == errno.EPERM and lacks_setfcap:
        return (
            "root needs the capability SETFCAP to map itself: start the container with --cap-add"
            " SETFCAP, or run as another user (--user)"
        )
    return namespace_hint(number, facts)


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
