"""What makes a command start quickly: every trick is here, with the milliseconds that it saves.

Everywhere else imports are plain. The milliseconds are medians of a run of `python -m
tests.bench.startup` on two quiet cores: `true` took 131 with all of them, 312 without any.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from relay import sealed

# fmt: off
DEFERRED: Final = frozenset({
    # 6 ms: after the fork. While the child loads its part, the parent reads the settings.
    "netns.child", "netns.network.interception", "netns.network.links",
    "relay.cli", "relay.command.beside",
    # 9 ms: flags, which most starts have none of, and the size of the terminal for their help.
    "argparse", "relay.flags", "shutil",
    # 2 ms: what others import and a start does not use: digests, IDNA.
    # (Patterns of settings and environment are texts, which re compiles, and keeps, when they are
    # first matched: 3 ms.)
    "ctypes.util", "hashlib", "idna",
    # 1 ms: what is published as it was asked for; the rest after the command has started.
    "relay.publishing.on_host", "relay.publishing.publishing",
    # 9 ms: trio and all that relays, while the child builds the namespace.
    "relay.namespace", "relay.server", "trio",
    # 4 ms: what leads through a proxy, if there is one.
    "relay.config.way_out", "relay.outbound.proxied.bridges", "relay.outbound.proxied.dialer",
    "relay.outbound.proxied.dialogue", "relay.outbound.proxied.forwarding",
    "relay.outbound.proxied.proxies", "relay.outbound.proxied.renewal",
    "relay.outbound.proxied.secured", "relay.outbound.proxied.socks", "relay.proxies.url",
    # 3 ms: what only other commands, or few sessions, need.
    "relay.auto_ports.editors",
    "relay.doctor", "relay.policy.presets", "relay.policy.why", "relay.record.selection",
    "relay.record.status", "relay.record.story.learned", "relay.record.story.telling",
    "relay.record.view", "tomllib", "traceback",
    # 5 ms: Prometheus' library, at the first request for metrics.
    "relay.sidecar.endpoint.exposition",
    # 1 ms: the reader of ClientHellos, when a server is lost right after one.
    "relay.tcp.transfer.client_hello",
    # 1 ms: what judges names within connections, if a rule speaks of names.
    "relay.tcp.inner.inspected", "relay.tcp.inner.inspection", "relay.tcp.inner.noted",
    "relay.tcp.inner.request_head", "relay.tcp.inner.server_name",
    # 35 ms: dnspython, at the first question.
    "relay.dns.bounds.tally", "relay.dns.gate", "relay.dns.lookup.evidence",
    "relay.dns.lookup.resolver", "relay.dns.nameserver", "relay.dns.responder",
    # 29 ms: the gateway. h11, h2 and ssl at its first connection, certificates if it is on.
    "relay.gateway.downstream.connection", "relay.gateway.exchange", "relay.gateway.gateway",
    "relay.gateway.setup.certificates", "relay.gateway.setup.shell", "relay.gateway.setup.trust",
    "relay.gateway.upgrade", "relay.gateway.upstream.pool", "ssl",
})
# fmt: on
"""Modules that run when the first of their names is asked for, not when they are imported."""

# fmt: off
UNUSED: Final = frozenset({
    # 12 ms at the first question: dnspython asks it whether there is IDNA 2008. What the relay
    # resolves has been encoded by the program.
    "importlib.metadata",
    # 8 ms: DTLS, threads, files and processes of trio.
    "trio._dtls", "trio._file_io", "trio._path", "trio._subprocess", "trio._threads",
    # 1 ms: schemas, which the tests write.
    "msgspec._json_schema", "msgspec.inspect",
})
# fmt: on
"""Modules that never run, though they are imported: each of their names is None."""


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
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it is."""


class _Finder:
    """Finds what is deferred before anybody else does."""

    @staticmethod
    def find_spec(name: str, path: Any, _target: ModuleType | None = None) -> Any:
        """Return the spec of a module that is to run later, or never; None for all others."""
        if name in UNUSED:
            unused: Any = _DeferredLoader(None)
            return ModuleSpec(name, unused)
        if name not in DEFERRED:
            return None
        others = (each for each in sys.meta_path if each is not _Finder)
        specs: Any = (each.find_spec(name, path) for each in others)
        spec = next((each for each in specs if each is not None), None)
        if spec is not None:
            spec.loader = _DeferredLoader(spec.loader)
        return spec


def begin() -> None:
    """Begin the start; before anything else is imported."""
    # 10 ms: imports make no garbage, but a collection would look for it again and again.
    gc.disable()
    sys.meta_path.insert(0, _Finder)


_BETWEEN_COLLECTIONS: Final = 5000
"""Objects: of 700, the default, most still belong to connections, and all are looked at in vain.
A fiftieth of what a connection, or a request of the gateway, costs."""


def end() -> None:
    """End the start: what is loaded by now stays, so that no collection looks at it again."""
    gc.freeze()
    gc.set_threshold(_BETWEEN_COLLECTIONS)
    gc.enable()


# fmt: off
PACKAGES: Final = (
    "relay", "netns",
    *("trio", "attr", "attrs", "outcome", "sniffio", "sortedcontainers", "msgspec"),
    "dns", "idna",
)
LIBRARY: Final = (
    *("_colorize", "base64", "bisect", "contextvars", "ctypes.util", "encodings.idna"),
    *("encodings.punycode", "hashlib", "heapq", "hmac", "linecache", "locale", "logging"),
    *("platform", "queue", "random", "shlex", "shutil", "ssl", "string", "stringprep"),
    *("subprocess", "textwrap", "threading", "tokenize", "traceback"),
    # What a change of config.toml may need.
    *("tomllib", "tomllib._parser", "tomllib._re", "tomllib._types"),
)
EXTENSIONS: Final = (
    *("_bisect", "_contextvars", "_heapq", "_posixsubprocess", "_queue", "_random", "binascii"),
    *("resource", "termios", "unicodedata"),
    *("_blake2", "_md5", "_sha1", "_sha2", "_sha256", "_sha3", "_sha512"),
)
GATEWAY_PACKAGES: Final = ("h11", "h2", "hpack", "hyperframe")
GATEWAY_LIBRARY: Final = ("http",)
GATEWAY_EXTENSIONS: Final = ("_ssl",)
PROXY_PACKAGES: Final = ("h11", "python_socks")
PROXY_LIBRARY: Final = ("urllib", "urllib.parse")
# fmt: on
"""What a session may need once its command has started. Of packages all is read, for dnspython
finds the module for a type of record by its name."""


def seal(*, gateway: bool, proxy: bool) -> None:
    """Read all that a session may need later; from here on no module comes from a file. 9 ms.

    So what the command writes is not run by the relay, and what is installed may be upgraded or
    removed while a session runs. A process that has not begun by begin() is not keepline's own, and
    stays as it is.
    """
    if _Finder not in sys.meta_path:
        return
    sys.meta_path.remove(_Finder)
    sealed.load_extensions((*EXTENSIONS, *(GATEWAY_EXTENSIONS if gateway or proxy else ())))
    not_run = [module for module in sys.modules.values() if isinstance(module, _Deferred)]
    names = {module.__name__ for module in not_run}
    memory = sealed.read(
        (
            *PACKAGES,
            *(GATEWAY_PACKAGES if gateway else ()),
            *(PROXY_PACKAGES if proxy else ()),
        ),
        (
            *LIBRARY,
            *(GATEWAY_LIBRARY if gateway else ()),
            *(PROXY_LIBRARY if proxy else ()),
        ),
        sys.modules.keys() - names,
    )
    for module in not_run:
        spec: Any = module.__spec__
        spec.loader.loader = memory
    sealed.close(memory)
    sys.meta_path.insert(0, _Finder)


def load(module: ModuleType) -> None:
    """Run a module that has been deferred; do nothing for any other."""
    if not isinstance(module, _Deferred):
        return
    spec: Any = module.__spec__
    deferred = spec.loader
    spec.loader = module.__loader__ = deferred.loader
    module.__class__ = ModuleType  # type: ignore[assignment]
    try:
        spec.loader.exec_module(module)
    except BaseException:  # the next use is to fail for the same reason
        spec.loader, module.__class__ = deferred, _Deferred
        raise


@contextlib.contextmanager
def without_library_search() -> Iterator[None]:
    """Keep trio's import from running ldconfig: it looks for libpthread, to name threads with.

    The relay has none to name, and needs no other program and no other library. 4 ms.
    """
    import ctypes.util  # noqa: PLC0415 - the child does without

    def find_nothing(name: str) -> str:  # noqa: ARG001 - the signature it stands in for
        return "\0"  # no library can be called so; for None, trio loads what is called libc.so

    before = vars(ctypes.util).get("find_library")  # None: it is deferred, and stays so
    ctypes.util.find_library = find_nothing
    try:
        yield
    finally:
        if before is None:
            del ctypes.util.find_library
        else:
            ctypes.util.find_library = before
