"""What has been read is imported from memory, nothing comes from files, and nothing is opened."""

import importlib.util
import os
import py_compile
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from relay import startup

ROOT = Path(startup.__file__).parents[1]

START = """
import importlib, os, sys, types
from relay.command import first
from relay import startup
startup.begin()
from netns import child, hints
from netns.process import inherited
from netns.sandbox import Sandbox
from relay import cli, session
from relay.command import witness
cli.main, session.run
GATEWAY = {gateway}
if GATEWAY:
    from relay.gateway.setup import certificates, trust
    certificates.make, trust.roots
startup.seal(gateway=GATEWAY, proxy={proxy})
opened = []
NAMES = ("open", "os.listdir", "os.scandir", "ctypes.dlopen", "subprocess.Popen")
def note(event, arguments):
    if event in NAMES and arguments[0] not in (chr(0), None):  # None is this process itself
        opened.append((event, arguments[0]))
sys.addaudithook(note)
"""
"""As keepline starts; what it opens from then on is noted."""

LATER = """
import base64
import traceback
import trio
with startup.without_library_search():
    startup.load(trio)
for name in {names}:
    startup.load(importlib.import_module(name))
"x".encode("idna"), "x".encode("punycode"), "x".encode("latin-1")
try:
    base64.b64decode(1)
except TypeError as error:
    told = "".join(traceback.format_exception(error))
    assert "base64.py" in told and "binascii.a2b" not in told
import warnings
warnings.warn("something", stacklevel=1)
print(opened)
"""

NOT_OURS = (
    "relay.__main__",
    "relay.doctor",
    "relay.flags",
    "relay.engines",
    "relay.inbound.proxy",
    "relay.proxy",
    "relay.remote",
    "relay.sidecar",
)
"""What other commands need alone."""


def names(*packages: str, without: tuple[str, ...] = ()) -> list[str]:
    """Return the modules of packages."""
    found = []
    for package in packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        for file in folder.rglob("*.py"):
            parts = (package, *file.relative_to(folder).with_suffix("").parts)
            found.append(".".join(parts).removesuffix(".__init__"))
    return [name for name in found if not name.startswith(without)]


def run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}]\n"
    command = [sys.executable, "-I", *options, "-c", path + code]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(("gateway", "proxy"), [(False, False), (True, False), (False, True)])
def test_a_relay_needs_no_file_once_its_command_has_started(gateway: bool, proxy: bool) -> None:
    absent = [] if gateway else ["relay.gateway"]
    absent += [] if proxy else ["relay.outbound.proxied"]
    ours = names("relay", without=(*NOT_OURS, *absent))
    ours += ["traceback", "hashlib", "linecache", *names("dns.rdtypes.ANY", "dns.rdtypes.IN")]
    ours += ["ssl", "h11", "h2.connection"] if gateway else []
    ours += ["ssl", "h11", "python_socks.async_.trio.v2"] if proxy else []
    done = run(START.format(gateway=gateway, proxy=proxy) + LATER.format(names=ours))
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
    assert ": UserWarning: something\n" in done.stderr


def test_what_was_not_read_is_an_import_error() -> None:
    done = run(
        START.format(gateway=False, proxy=False)
        + "for name in ('h2', 'wave', 'unittest.mock', 'encodings.cp037'):\n"
        "    try: startup.load(importlib.import_module(name))\n"
        "    except ImportError: print(name)\n"
        "try: 'x'.encode('cp037')\n"
        "except LookupError: print('cp037')\n"
        "print(opened, sys.path, sys.path_hooks, sys.path_importer_cache)"
    )
    told = "h2\nwave\nunittest.mock\nencodings.cp037\ncp037\n[] [] [] {}\n"
    assert done.stdout == told, done.stderr


READ = """
import os, sys, types
sys.path[:0] = [{folder!r}]
from relay import sealed
memory = sealed.read(["package"], ["module", "gone", "sys"], {{"package.loaded"}})
{between}
sealed.close(memory)
import module
from package.inner import deep
print(module.VALUE, deep.VALUE, deep.__name__, deep.__file__.removeprefix({folder!r}))
"""


def made(folder: Path) -> None:
    """Make a module and a package of two levels."""
    (folder / "package/inner").mkdir(parents=True)
    for name in ("package/__init__", "package/loaded", "package/inner/__init__"):
        (folder / f"{name}.py").write_text("")
    for name in ("module", "package/inner/deep"):
        (folder / f"{name}.py").write_text("VALUE = 'first'\n")
    (folder / "package/broken.py").write_text("VALUE = = 'first'\n")
    (folder / "package/notes.txt").write_text("no module")
    (folder / "package/tests").mkdir()
    (folder / "package/tests/test_it.py").write_text("")


CHANGE = """
import pathlib, shutil
for file in pathlib.Path({folder!r}).rglob("*.py"):
    file.unlink()
    os.mkfifo(file)  # whoever opens it waits for ever
for cache in pathlib.Path({folder!r}).rglob("__pycache__"):
    shutil.rmtree(cache)
"""

FIRST = "first first package.inner.deep /package/inner/deep.py\n"


def compile_all(folder: Path, mode: py_compile.PycInvalidationMode) -> None:
    for file in folder.rglob("*.py"):
        if file.name != "broken.py":
            py_compile.compile(str(file), invalidation_mode=mode)


@pytest.mark.parametrize("mode", list(py_compile.PycInvalidationMode))
def test_compiled_files_of_all_kinds_are_read(
    tmp_path: Path, mode: py_compile.PycInvalidationMode
) -> None:
    made(tmp_path)
    compile_all(tmp_path, mode)
    assert read(tmp_path, CHANGE) == FIRST


def read(folder: Path, between: str, *options: str) -> str:
    """Read it, change it, and import it; return what is printed."""
    code = READ.format(folder=str(folder), between=between.format(folder=str(folder)))
    done = run(code, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_missing_compiled_file_is_made_for_the_next_start(tmp_path: Path) -> None:
    made(tmp_path)
    assert read(tmp_path, "") == FIRST
    assert Path(importlib.util.cache_from_source(str(tmp_path / "module.py"))).exists()


def test_what_cannot_be_kept_is_compiled_when_it_is_needed(tmp_path: Path) -> None:
    made(tmp_path)
    assert read(tmp_path, CHANGE, "-B") == FIRST
    assert not list(tmp_path.rglob("*.pyc"))


@pytest.mark.parametrize(
    "mode",
    [py_compile.PycInvalidationMode.TIMESTAMP, py_compile.PycInvalidationMode.CHECKED_HASH],
)
def test_a_stale_compiled_file_is_not_taken(
    tmp_path: Path, mode: py_compile.PycInvalidationMode
) -> None:
    made(tmp_path)
    for name in ("module", "package/inner/deep"):
        file = tmp_path / f"{name}.py"
        file.write_text("VALUE = 'a stale value'\n")
        os.utime(file, (1, 1))
    compile_all(tmp_path, mode)
    for name in ("module", "package/inner/deep"):
        (tmp_path / f"{name}.py").write_text("VALUE = 'first'\n")
    assert read(tmp_path, CHANGE) == FIRST


@pytest.mark.parametrize("content", [b"", b"no compiled file at all", b"\0" * 3])
def test_a_broken_compiled_file_is_not_taken(tmp_path: Path, content: bytes) -> None:
    made(tmp_path)
    cached = Path(importlib.util.cache_from_source(str(tmp_path / "module.py")))
    cached.parent.mkdir()
    cached.write_bytes(content)
    assert read(tmp_path, "") == FIRST


def test_a_package_without_sources_is_read(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "package/broken.py").unlink()
    for file in list(tmp_path.rglob("*.py")):
        py_compile.compile(str(file), cfile=str(file.with_suffix(".pyc")))
        file.unlink()
    told = read(tmp_path, CHANGE)
    assert told == FIRST.replace("deep.py", "deep.pyc")


def test_a_module_of_an_archive_is_read(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "module.py").unlink()
    with zipfile.ZipFile(tmp_path / "library.zip", "w") as archive:
        archive.writestr("module.py", "VALUE = 'first'\n")
    between = f"os.unlink({str(tmp_path / 'library.zip')!r})"
    code = READ.format(folder=str(tmp_path), between=between)
    done = run(f"sys.path[:0] = [{str(tmp_path / 'library.zip')!r}]\n{code}")
    assert done.stdout == FIRST, done.stderr


def test_what_nobody_has_caught_is_told_without_the_source(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        textwrap.dedent(
            """
            class Thing:
                def __del__(self):
                    raise KeyError("in a finaliser")

            def run():
                Thing()
                raise ValueError("in the open")
            """
        )
    )
    code = (
        f"import os; sys.path[:0] = [{str(tmp_path)!r}]\nfrom relay import sealed\nimport failing\n"
        "import traceback\n"
        "sealed.close(sealed.read([], [], set()))\n"
        f"path = {str(tmp_path / 'failing.py')!r}; os.unlink(path); os.mkfifo(path)\n"
        "failing.run()"
    )
    done = run(code)
    assert done.returncode == 1
    assert "Exception ignored in: <function Thing.__del__" in done.stderr
    assert "KeyError: 'in a finaliser'" in done.stderr
    assert done.stderr.endswith("ValueError: in the open\n")
    assert 'raise ValueError("' not in done.stderr
