"""The files of settings: config.toml, and .keepline.toml of the project that one works in."""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from relay.config.entries import Project
from relay.config.reading import Said, from_environment, from_project, from_toml
from relay.config.settings import ConfigError
from relay.config.sources import Sources
from relay.record.files import home

PROJECT_FILE: Final = ".keepline.toml"

_MOST_BYTES: Final = 4 << 20


def gathered(flags: Said) -> Sources:
    """Read config.toml, the environment and the files of the project; raises ConfigError."""
    path = config_path(os.environ, home())
    return Sources(
        flags=flags,
        environment=from_environment(os.environ),
        file=from_toml(read(path), str(path)),
        path=str(path),
        projects=tuple(projects()),
    )


def config_path(environment: Mapping[str, str], home: Path) -> Path:
    """Return where config.toml is, or would be: XDG Base Directory Specification."""
    folder = environment.get("XDG_CONFIG_HOME", "")
    base = Path(folder) if Path(folder).is_absolute() else home / ".config"
    return base / "keepline/config.toml"


def read(path: Path) -> str:
    """Return the text of a file, empty if it is absent; raises ConfigError.

    Only a regular file is read: a FIFO in its place would be waited for.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - the descriptor is open
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigError(f"{path}: not a regular file")
            content = file.read(_MOST_BYTES + 1) or b""  # None: it has nothing yet, as in /proc
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path}: it has more than {_MOST_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def projects() -> Iterator[Project]:
    """Read the files of the project, each of which can only tighten, so that all of them hold.

    Raises ConfigError.
    """
    for path in project_paths():
        if text := read(path):
            yield from_project(text, str(path))


def project_paths() -> list[Path]:
    """Return where they are, or would be: in the working folder and those above it.

    The last is that of its repository; outside of one only the folder itself counts. A folder that
    the caller may not search is left out, and so is one that is gone.
    """
    try:
        folder = Path.cwd()
    except OSError:
        return []
    above = (folder, *folder.parents)
    roots = (n for n, each in enumerate(above) if os.path.lexists(each / ".git"))
    counting = above[: next(roots, 0) + 1]
    return [each / PROJECT_FILE for each in counting if os.access(each, os.X_OK)]
