"""The files of `--strict`: private folders, masked sockets, and kernel settings to read alone."""

from netns.private.covering import cover

__all__ = ["cover"]
