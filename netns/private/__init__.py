"""The files of `--strict`: private folders, masked sockets, and kernel settings to read alone."""

from netns.private.covering import cover
from netns.private.settings import protect_proc

__all__ = ["cover", "protect_proc"]
