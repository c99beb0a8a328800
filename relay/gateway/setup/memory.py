"""Files in memory: what they hold is in no file system, and no other process changes it."""

import os
from contextlib import AbstractContextManager


class Memory(AbstractContextManager["Memory"]):
    """A file without a name, closed at exec and gone with its last descriptor."""

    def __init__(self, name: str, content: str | bytes = b"") -> None:
        """Create it; raises OSError. `name` is for people who look into /proc."""
        self.fd = os.memfd_create(f"keepline {name}")
        self.path = f"/proc/self/fd/{self.fd}"
        left = content.encode() if isinstance(content, str) else content
        while left:
            left = left[os.write(self.fd, left) :]

    def __exit__(self, *error: object) -> None:
        """Close it, and so free its memory."""
        os.close(self.fd)
