"""What opens ports by itself in a session, made before its command starts."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from relay.auto_ports import editors, reading
from relay.config import Settings
from relay.policy.host_ports import HostPorts
from relay.record import files


@dataclass(eq=False)
class EditorFolders:
    """The folders in which editors say that they serve."""

    opened: "list[editors.EditorFolder]" = field(default_factory=list)

    @property
    def read_only(self) -> list[str]:
        """The folders that the command may not write to, or they say nothing."""
        return [str(folder.path) for folder in self.opened]

    def trust(self, read_only: Collection[str]) -> None:
        """Go by those folders alone to which the command cannot write."""
        self.opened = [each for each in self.opened if str(each.path) in read_only]


@contextlib.contextmanager
def prepared(
    settings: Settings,
    ports: HostPorts,
    warn: Callable[[str], None],
    *,
    passes_folders: bool,
) -> Iterator[EditorFolders]:
    """Open the ports that are written down, and for as long as the session lasts editors' folders.

    `passes_folders`: the command inherits a folder. From there it could write to any other, so that
    lock files say nothing.
    """
    with contextlib.ExitStack() as opened:
        found, notes, home = EditorFolders(), list[str](), files.home()
        if reading.are_wanted(settings):
            for port, _last, source in reading.opened_by_caller(os.environ, home, notes):
                ports.open(port, source)
            folders = [] if passes_folders else reading.editors_folders(os.environ, home)
            for path in filter(Path.is_dir, folders):
                try:
                    folder = editors.EditorFolder.opened(path)
                except OSError as error:
                    notes.append(f"{path}: {error.strerror}")
                    continue
                if folder is not None:
                    opened.callback(folder.close)
                    found.opened.append(folder)
        if notes:
            warn(f"no port of the host is opened by {'; '.join(notes)}")
        yield found
