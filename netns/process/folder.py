"""The working folder, which is left and entered anew where mounts change under it."""

import os

from netns.errors import SandboxError


def current() -> str:
    """Return its path, without links; raises SandboxError where it has none any more."""
    try:
        return os.getcwd()  # noqa: PTH109 - as a string
    except OSError as error:
        raise SandboxError(
            f"the working folder: {error.strerror}",
            "work in a folder that exists, and that this user may enter",
        ) from error


def enter(folder: str) -> None:
    """Enter a folder by its path; raises SandboxError."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise SandboxError(
            f"the working folder, {folder}: {error.strerror}", "work in a folder that stays"
        ) from error
