"""The command `keepline` of an installation; it sees to it that only the installation is imported.

pip writes a script whose interpreter heeds PYTHONPATH and the like, which are the command's and not
ours: a project with a package `relay`, or a module of a name that the standard library uses, would
take keepline's place. Where such a variable is set the interpreter starts once more without them,
20 ms later; the command has them as they were.
"""

import os
import sys

_HARMLESS = (
    b"PYTHONUNBUFFERED",
    b"PYTHONDONTWRITEBYTECODE",
    b"PYTHONUTF8",
    b"PYTHONIOENCODING",
    b"PYTHONHASHSEED",
)
"""Containers often set these, and none of them changes what is imported."""


def main() -> int:
    """Run the command line; return the exit status."""
    if not sys.flags.ignore_environment:
        with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 - pathlib may not be the library's
            entries = [entry.partition(b"=") for entry in file.read().split(b"\0")[:-1]]
        environment = {name: value for name, _, value in entries if name}
        if any(name.startswith(b"PYTHON") and name not in _HARMLESS for name in environment):
            # Not os.environ, to which the interpreter adds (PEP 538).
            argv = [sys.executable, "-E", "-P", __file__, *sys.argv[1:]]
            os.execve(sys.executable, argv, environment)  # noqa: S606 - ourselves
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of the script
    from relay.__main__ import main as run  # noqa: PLC0415 - nothing before the path is right

    return run()


if __name__ == "__main__":
    sys.path.append(os.path.dirname(__file__))  # noqa: PTH120 - it may not be in the path itself
    sys.exit(main())
