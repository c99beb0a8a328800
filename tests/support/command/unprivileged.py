"""Runs a module as a container of a pod does: `python -I unprivileged.py UID VOLUME MODULE ...`.

For a root of a user namespace: `python -m MODULE ...` becomes a process of the user UID, without a
capability and without a way to get one, whose root file system is read-only but for its volume,
/mnt/volume. It stays in the network, and in the PID namespace, where it is. Python and keepline
are mounted too, since that user may not reach where they are.
"""

import os
import sys
import sysconfig
from pathlib import Path

from netns import syscalls
from netns.process import privileges

PLACE = Path("/mnt")
ROOT = Path(__file__).parents[3]
CODE = """
import runpy
import sys
sys.path[:0] = {paths!r}
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def main() -> None:
    """Become it."""
    uid, volume, module, *words = sys.argv[1:]
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("none", str(PLACE), "tmpfs", data="mode=755")
    shown = {
        "python": sys.base_prefix,
        "keepline": str(ROOT),
        "packages": sysconfig.get_path("purelib"),
        "volume": volume,
    }
    for name, source in shown.items():
        (PLACE / name).mkdir()
        syscalls.mount(source, str(PLACE / name), flags=syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.make_read_only("/")
    volume_flags = syscalls.MS_BIND | syscalls.MS_REMOUNT
    syscalls.mount("none", str(PLACE / "volume"), flags=volume_flags)
    privileges.drop(keep_root=False)
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    paths = [str(PLACE / "keepline"), str(PLACE / "packages")]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = PLACE / "python/bin" / version
    environment = os.environ | {"LD_LIBRARY_PATH": str(PLACE / "python/lib")}  # its libpython
    argv = [str(python), "-I", "-c", CODE.format(paths=paths, module=module), *words]
    os.execve(python, argv, environment)


if __name__ == "__main__":
    main()
