"""A keepline that is installed in a folder of its own, which the command may write.

keepline = install(Keepline(internet), tmp_path / "installed")
done = await keepline.run("true")                   # of that folder
shutil.rmtree(keepline.installed)
"""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.support.command.keepline import Keepline
from tests.support.faults.injector import ROOT

_BASE: Final = Path(sys.executable).resolve()  # not the one of a virtual environment
_NEEDED: Final = (
    *("attr", "attrs", "dns", "h11", "h2", "hpack", "hyperframe", "idna", "msgspec"),
    *("outcome", "sniffio", "sortedcontainers", "trio"),
)
_START: Final = (
    "import sys; sys.path[:0] = [{!r}]; {} from relay.__main__ import main; sys.exit(main())"
)


class Installed(Keepline):
    """One that is installed in a folder of its own."""

    installed: Path
    before = ""
    """Statements that are run before it starts, each with its semicolon."""

    def argv(self, *arguments: str) -> list[str]:  # type: ignore[override] # it has one of its own
        start = _START.format(str(self.installed), self.before)
        return [str(_BASE), "-I", "-S", "-c", start, *arguments]


def install(keepline: Keepline, folder: Path) -> Installed:
    """Copy keepline and all that it needs."""
    for name in _NEEDED:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, folder / name)
    for name in ("netns", "relay"):
        shutil.copytree(ROOT / name, folder / name)
    keepline.__class__ = Installed
    assert isinstance(keepline, Installed)
    keepline.installed = folder
    return keepline
