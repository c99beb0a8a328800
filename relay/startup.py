"""What makes a command start quickly: every trick is here, with the milliseconds that it saves.

Everywhere else imports are plain. The milliseconds are medians of a run of `python -m
tests.bench.startup` on two quiet cores: `true` took 131 with all of them, 312 without any.
"""

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from relay.descriptors import SPARE

# fmt: off
DEFERRED: Final = frozenset({
    # 6 ms: after the fork. While the child loads its part, the parent reads the settings.
    "relay.cli", "relay.command.witness",
    # 40 ms: pyroute2, the child's work alone.
    "netns.network.links", "netns.network.interception",
    # 5 ms: TLS of asyncio, which pyroute2 imports.
    "asyncio.sslproto",
    # 4 ms: what others import and a start does not use: digests, compressors, IDNA.
    "ctypes.util", "hashlib", "idna", "shutil",
    # 9 ms: trio and all that relays, while the child builds the namespace.
    "relay.server", "trio",
    # 3 ms: what only other commands, or few sessions, need.
    "relay.doctor", "relay.policy.presets", "relay.record.selection", "relay.record.status",
    "relay.record.story.telling", "relay.record.view", "tomllib", "traceback",
    # 1 ms: the reader of ClientHellos, when a server is lost right after one.
    "relay.tcp.transfer.client_hello",
    # 1 ms: what judges names within connections, if a rule speaks of names.
    "relay.tcp.inner.inspected", "relay.tcp.inner.inspection",
    # 35 ms: dnspython, at the first question.
    "relay.dns.lookup.evidence", "relay.dns.lookup.resolver", "relay.dns.nameserver",
    "relay.dns.responder",
    # 29 ms: the gateway. h11, h2 and ssl at its first connection, certificates if it is on.
    "relay.gateway.downstream.connection", "relay.gateway.exchange", "relay.gateway.gateway",
    "relay.gateway.setup.certificates", "relay.gateway.setup.shell", "relay.gateway.setup.trust",
    "relay.gateway.upgrade", "relay.gateway.upstream.pool", "ssl",
})
# fmt: on
"""Modules that run when the first of their names is asked for, not when they are imported."""

BARE: Final = frozenset({"pyroute2"})
"""Packages whose own __init__ is not run: pyroute2's loads every protocol it knows. 20 ms."""

UNUSED: Final = frozenset({"trio._dtls"})
"""Modules that never run, though names are imported from them: each is None. 5 ms."""


class _Deferred(ModuleType):
    """A module that has not run yet."""

    def __getattr__(self, name: str) -> Any:
        """Run it, and return one of its names; what the import system asks of it does not count."""
        if name.startswith("__"):
            raise AttributeError(name)
        load(self)
        return getattr(self, name)


class _Unused(ModuleType):
    """A module that never runs."""

    def __getattr__(self, name: str) -> None:
        """Return None for one of its names; what the import system asks of it is not there."""
        if name.startswith("__"):
            raise AttributeError(name)


class _DeferredLoader:
    """Makes a module; it runs later."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the module."""
        if spec.name in UNUSED:
            return _Unused(spec.name)
        return ModuleType(spec.name) if spec.name in BARE else _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it is."""


class _Finder:
    """Finds what is deferred before anybody else does."""

    @staticmethod
    def find_spec(name: str, path: Any, _target: ModuleType | None = None) -> Any:
        """Return the spec of a module that is to run later, or never; None for all others."""
        if not (name in DEFERRED or name in BARE or name in UNUSED):
            return None
        spec: Any = PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = _DeferredLoader(spec.loader)
        return spec


def begin() -> None:
    """Begin the start; before anything else is imported."""
    # 10 ms: imports make no garbage, but a collection would look for it again and again.
    gc.disable()
    sys.meta_path.insert(0, _Finder)


def end() -> None:
    """End the start: what is loaded by now stays, so that no collection looks at it again."""
    gc.freeze()
    gc.enable()


# fmt: off
LATER: Final = (
    # What a fault, and the end, need.
    "linecache", "traceback", "relay.record.story.telling",
    # What a change of config.toml may need.
    "tomllib", "relay.policy.presets", "relay.tcp.inner.inspected",
    # dnspython, in pieces.
    "hashlib", "idna", "dns.name", "dns.rdata", "dns.rrset", "dns.message", "dns.rdtypes.ANY",
    "dns.rdtypes.IN",
    "relay.dns.responder", "relay.dns.nameserver", "relay.dns.lookup.resolver", "encodings.idna",
)
LATER_WITH_GATEWAY: Final = (
    "ssl", "h11", "h2.connection", "relay.gateway.setup.trust", "relay.gateway.exchange",
    "relay.gateway.downstream.connection", "relay.gateway.upstream.pool", "relay.gateway.upgrade",
    "relay.gateway.gateway",
)
# fmt: on
"""What a session runs with, though it starts without: see load_rest()."""


def load_rest(*, gateway: bool) -> Iterator[None]:
    """Load all that a session may need later, a few milliseconds' worth at a time.

    What is installed may be upgraded or removed while a session runs, and a module that is loaded
    only after that is another version's, or is not there. From then on nothing is read from files.
    The parts of a package that are found by name alone, as dnspython's for each type of a record
    are, come after it. What is gone already is left out: its first use fails as it would have.
    """
    for name in (*LATER, *(LATER_WITH_GATEWAY if gateway else ())):
        yield
        with contextlib.suppress(ImportError, OSError):
            module = importlib.import_module(name)
            load(module)
            if name in _FOUND_BY_NAME:
                for file in [file for folder in module.__path__ for file in os.listdir(folder)]:  # noqa: PTH208 - pathlib is slower
                    if file.endswith(".py") and not file.startswith("_"):
                        yield
                        importlib.import_module(f"{name}.{file.removesuffix('.py')}")


_FOUND_BY_NAME: Final = frozenset({"dns.rdtypes.ANY", "dns.rdtypes.IN"})


def load(module: ModuleType) -> None:
    """Run a module that has been deferred; do nothing for any other."""
    if not isinstance(module, _Deferred):
        return
    spec: Any = module.__spec__
    deferred = spec.loader
    spec.loader = module.__loader__ = deferred.loader
    module.__class__ = ModuleType  # type: ignore[assignment]
    try:
        with SPARE.lent():
            spec.loader.exec_module(module)
    except BaseException:  # the next use is to fail for the same reason
        spec.loader, module.__class__ = deferred, _Deferred
        raise


@contextlib.contextmanager
def without_library_search() -> Iterator[None]:
    """Keep trio's import from running ldconfig: it looks for libpthread, to name threads with.

    The relay has none to name, and needs no other program. 4 ms.
    """
    import ctypes.util  # noqa: PLC0415 - the child does without

    def find_nothing(name: str) -> None:  # noqa: ARG001 - the signature it stands in for
        return None

    before = vars(ctypes.util).get("find_library")  # None: it is deferred, and stays so
    ctypes.util.find_library = find_nothing
    try:
        yield
    finally:
        if before is None:
            del ctypes.util.find_library
        else:
            ctypes.util.find_library = before
