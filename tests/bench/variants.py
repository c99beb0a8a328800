"""The ways from the client to the server: each is what stands before a command to send it there."""

import shutil
import sys
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Variant:
    """One column of the benchmark."""

    name: str
    prefix: tuple[str, ...]
    relay: str | None = None
    """How the name of the process that moves the bytes begins; None: nothing does."""
    client: tuple[str, ...] = (sys.executable, "-I", "-m", "tests.bench.client")
    """What is started behind the prefix."""

    @property
    def installed(self) -> bool:
        """Return whether the machine has what is measured."""
        return not self.is_peer or shutil.which(self.name) is not None

    @property
    def is_peer(self) -> bool:
        """Return whether it is another tool, which this machine may lack."""
        return self.name in {"slirp4netns", "pasta"}


_PYTHON: Final = (sys.executable, "-I", "-m")

# No ports are forwarded: keepline forwards none, and two pastas could not forward the same.
_PASTA: Final = ("pasta", "--config-net", *("-t", "none", "-u", "none", "-T", "none", "-U", "none"))

DIRECT: Final = Variant("direct", ())
KEEPLINE: Final = Variant("keepline", (*_PYTHON, "relay", "run", "--"), "python")
SLIRP: Final = Variant("slirp4netns", (*_PYTHON, "tests.bench.slirp"), "slirp4netns")
PASTA: Final = Variant("pasta", (*_PASTA, "--"), "passt")
ALL: Final = (DIRECT, KEEPLINE, SLIRP, PASTA)
