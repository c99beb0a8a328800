"""A user who does not own root's files: `Ordinary(internet)` in a host of the small internet.

The other ordinary users of the tests are mapped to their caller and own what it owns, root's files
too if that is root. To the programs of this one they are another's, and under keepline nobody's. To
make such a user takes root, and its range of ids.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from netns import syscalls
from tests.support.internet.world import Internet

ID: Final = 4711
_ROOT: Final = Path(__file__).resolve().parents[3]


class Ordinary:
    """The user, its home and its environment."""

    def __init__(self, internet: Internet) -> None:
        """Let the user be known to the client, and able to run what these tests run."""
        internet.directory.chmod(0o711)
        self.home = internet.directory / "home"
        self.home.mkdir()
        os.chown(self.home, ID, ID)
        passwd = internet.directory / "passwd"
        known = Path("/etc/passwd").read_text()
        passwd.write_text(f"{known}ordinary:x:{ID}:{ID}::{self.home}:/bin/sh\n")
        self.environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} | dict.fromkeys(
            ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"), str(self.home)
        )
        self.cover(internet, "/etc/passwd", passwd)
        for needed in (Path(sys.base_prefix), _ROOT):
            internet.client.call(lambda needed=needed: _open_way(needed))  # type: ignore[misc]

    @staticmethod
    def cover(internet: Internet, place: str, source: Path) -> None:
        """Show a file or a folder to the programs of the client in place of another."""
        internet.client.call(lambda: syscalls.mount(str(source), place, flags=syscalls.MS_BIND))

    def argv(self, *command: str) -> list[str]:
        """Return the command line that runs a command as this user."""
        setpriv = shutil.which("setpriv") or "setpriv"
        return [setpriv, f"--reuid={ID}", f"--regid={ID}", "--clear-groups", *command]


def _open_way(needed: Path) -> None:
    """Make a folder reachable that lies in somebody's closed home, for the calling host alone."""
    closed = [parent for parent in needed.parents if not parent.stat().st_mode & 0o001]
    if not closed:
        return
    descriptor = os.open(needed, os.O_PATH)
    syscalls.mount("tmpfs", str(closed[-1]), "tmpfs", 0, "mode=755")
    needed.mkdir(parents=True)
    syscalls.mount(f"/proc/self/fd/{descriptor}", str(needed), flags=syscalls.MS_BIND)
    os.close(descriptor)
