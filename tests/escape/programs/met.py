"""Collects what the attempts of one way met: errno names, or `done`."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_met: Final[list[str]] = []
_OF_GETADDRINFO: Final = {
    value: name for name, value in vars(socket).items() if name.startswith("EAI_")
}


@contextmanager
def attempt() -> Iterator[None]:
    """Go on after a failure, and remember its errno."""
    try:
        yield
    except TimeoutError:
        _met.append("no answer")
    except socket.gaierror as error:
        _met.append(_OF_GETADDRINFO.get(error.errno or 0, str(error)))
    except OSError as error:
        _met.append(errno.errorcode.get(error.errno or 0, str(error)))
    else:
        _met.append("done")


def met(word: str) -> None:
    """Remember what another process has met."""
    _met.append(word)


def words() -> str:
    """Return what was met, each thing once; what the last lines of a way did counts if all did."""
    failed = [word for word in dict.fromkeys(_met) if word != "done"]
    return ", ".join(failed) or "done"
