"""The gateway of a pod: off unless it is asked for; programs learn of it from a volume they share.

What they need is in a folder `keepline` of that volume: `keepline.env`, variables to start them
with, and with `tls` the authority that these name. It is made anew at each start of the relay, and
is the relay's alone to write.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from netns.errors import KeeplineError
from relay.config import Settings
from relay.gateway.setup import prepare
from relay.gateway.setup.prepare import Prepared, Without
from relay.record import files

FOLDER: Final = "keepline"
VARIABLES: Final = "keepline.env"
AUTHORITY: Final = "keepline-ca.pem"

_READABLE: Final = 0o644
_PASSABLE: Final = 0o755


@contextlib.contextmanager
def opened(
    settings: Settings, volume: str | None, warn: Callable[[str], None]
) -> Iterator[Prepared | Without]:
    """Prepare it for as long as the relay runs; raises KeeplineError."""
    if settings.gateway in ("auto", "off"):
        yield Without("a pod has it only by --gateway=tls or http", by_choice=True)
        return
    if volume is None:
        raise KeeplineError(
            "the gateway of a pod has to tell programs of itself",
            "--gateway-dir DIR, a volume that they have at the same path",
        )
    folder = Path(volume, FOLDER)
    with contextlib.ExitStack() as undo:
        undo.callback(_leave, folder)
        with _telling(folder):
            _empty(folder)
            prepared = undo.enter_context(prepare.opened(settings, (), folder / AUTHORITY, warn))
            _show(folder, prepared.environment)
        yield prepared


@contextlib.contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """Say of an OSError, raised as KeeplineError, that it keeps programs from being told."""
    try:
        yield
    except OSError as error:
        raise KeeplineError(
            f"programs cannot be told of the gateway: {folder}: {error.strerror}",
            "make the volume writable for the relay's user, or take --gateway away",
        ) from error


def _leave(folder: Path) -> None:
    """Take away what tells of a gateway that has ended, as far as that is possible."""
    with contextlib.suppress(OSError):
        _empty(folder)


def _empty(folder: Path) -> None:
    """Take away what a relay that was killed has left; raises OSError."""
    with files.opened_folder(folder) as opened_folder:
        os.fchmod(opened_folder, _PASSABLE)
        for name in (VARIABLES, AUTHORITY):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=opened_folder)


def _show(folder: Path, variables: Mapping[str, str]) -> None:
    """Let all users of the pod read what they need; raises OSError."""
    with files.opened_folder(folder) as opened_folder:
        if AUTHORITY in os.listdir(opened_folder):  # noqa: PTH208 - of a descriptor
            os.chmod(AUTHORITY, _READABLE, dir_fd=opened_folder)
        fd = files.made(opened_folder, VARIABLES)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, _READABLE)
            file.writelines(f"{name}={value}\n" for name, value in variables.items())
