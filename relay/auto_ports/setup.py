"""What opens ports by itself in a session, made before its command starts."""

import contextlib
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from relay.auto_ports import editors, reading, variables
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


class Passing(Protocol):
    """A sandbox, as far as it matters here."""

    passes_folders: bool
    """Whether the command inherits a folder. From there it could write to any other."""


def written_down(settings: Settings, notes: list[str], *, are_wanted: bool) -> HostPorts:
    """Return the ports that are open from the start; `notes` gets why a file opens none.

    Without `are_wanted`, those alone that the settings name.
    """
    ports = HostPorts(settings.opened_ports())
    if are_wanted:
        for port, _last, source in reading.opened_by_caller(_given(settings), files.home(), notes):
            ports.open(port, source)
    return ports


def _given(settings: Settings) -> dict[str, str]:
    """Return the variables that the command gets: of a proxy only where that is left to it."""
    taken = () if settings.proxy == "off" else variables.PROXIES
    return {name: text for name, text in os.environ.items() if name.upper() not in taken}


def prepared(
    settings: Settings,
    sandbox: Passing,
    warn: Callable[[str], None],
    opened: contextlib.ExitStack,
) -> tuple[HostPorts, EditorFolders]:
    """Open the ports that are written down, and the editors' folders until `opened` is closed."""
    notes, are_wanted = list[str](), settings.opens_ports_itself()
    ports, found = written_down(settings, notes, are_wanted=are_wanted), EditorFolders()
    if are_wanted and not sandbox.passes_folders:
        for path in filter(Path.is_dir, reading.editors_folders(os.environ, files.home())):
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
    return ports, found
