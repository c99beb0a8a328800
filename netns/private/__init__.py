"""The files of `--strict`: private folders, masked sockets, and kernel settings to read alone."""

from netns.private.covering import cover
from netns.private.settings import protect_proc
from netns.private.unix_sockets import host_sockets

__all__ = ["cover", "host_sockets", "protect_proc"]
