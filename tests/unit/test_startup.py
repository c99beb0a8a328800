"""What is deferred runs when it is asked for, once, and is a module like any other from then on."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from relay import startup

INSIDE = """
import sys
from relay import startup
startup.begin()
from relay import server
import trio
assert not hasattr(trio, "__version__")  # what the import system asks for does not make it run
assert "trio._core" not in sys.modules
import relay.server  # a second import does not either
assert "trio._core" not in sys.modules
import ctypes.util
with startup.without_library_search():
    assert trio.current_time  # before the server, which uses it, as a session has it
assert callable(server.Relay)
assert not {"dns.message", "h11", "h2"} & set(sys.modules)  # nor does what uses them
assert "_lzma" not in sys.modules  # nor does what searches libraries, or packs files
assert ctypes.util.find_library("c")
assert trio.DTLSEndpoint is None  # nobody uses it
assert "hmac" not in sys.modules
assert type(trio) is type(sys) and trio.__version__ and trio.__spec__.loader is trio.__loader__
startup.load(trio)  # nothing for what has run
startup.end()
"""


USED = """
import re
from pathlib import Path
from relay import startup
startup.begin()
import msgspec, trio
for library in (msgspec, trio):
    pattern = re.compile(rf"(?<![.\\w]){library.__name__}((?:\\.[a-zA-Z]\\w*)+)")
    for file in Path(startup.__file__).parent.rglob("*.py"):
        for path in pattern.findall(file.read_text()):
            found = library
            for name in path[1:].split("."):
                found = getattr(found, name)
                assert found is not None, (str(file), library.__name__ + path)
"""


def test_what_never_runs_is_not_used() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", USED], check=False, capture_output=True, text=True
    )
    assert done.stderr == ""


@pytest.mark.parametrize("name", sorted(startup.DEFERRED | startup.UNUSED))
def test_what_is_deferred_is_there(name: str) -> None:
    assert find_spec(name) is not None


def test_a_deferred_module_runs_when_it_is_used() -> None:
    command = [sys.executable, "-I", "-c", INSIDE]
    assert subprocess.run(command, check=False, capture_output=True, text=True).stderr == ""


def test_a_deferred_module_that_fails_fails_each_time() -> None:
    code = (
        "import sys; from relay import startup; startup.begin(); from relay.record import view\n"
        "sys.modules['relay.record.events'] = None\n"
        "for _ in range(2):\n"
        "    try: view.log_lines\n"
        "    except ImportError: print('again')\n"
    )
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout == "again\nagain\n", done.stderr


def test_only_ordinary_imports_elsewhere() -> None:
    """The tricks stand in one file; what is imported in a function is counted."""
    command = ["grep", "-rn", "--include=*.py", "PLC0415", "relay", "netns"]
    found = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
    assert len(found) <= 15, found
