"""The relay's code is read before the command starts; from then on no module comes from a file.

The command may be able to write what keepline is installed from: a clone, or what pipx has made in
the user's home; as root any installation. A module that is imported at the first question, at the
gateway's first connection or at the end must be what it was before the command started.

- Compiled files are read as they are, and run when they are first imported. They are chosen as
  Python chooses them (PEP 552, and PEP 3147 for their places). Where one is missing or stale, its
  source is compiled and the result kept for the next start; where that cannot be kept, the source
  is read, and compiled when it is needed.
- Extension modules cannot be run from memory: those that may be needed are loaded.
- What has not been read is an ImportError afterwards.
- Tracebacks and warnings show no source lines: these too would be read from files, and one that
  the command has replaced by a FIFO is one that is never read to its end.
"""

import contextlib
import functools
import importlib.util
import marshal
import os
import sys
from collections.abc import Container, Iterable, Iterator
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    SOURCE_SUFFIXES,
    BuiltinImporter,
    FrozenImporter,
    ModuleSpec,
    SourceFileLoader,
)
from types import CodeType, ModuleType, TracebackType
from typing import Any, Final, NamedTuple

_HEADER: Final = 16
"""Bytes before the code in a compiled file, PEP 552."""
_BY_HASH: Final = 0b01
_CHECKED: Final = 0b10
_32_BITS: Final = 0xFFFF_FFFF

_NOT_CODE: Final = frozenset(
    {"__pycache__", "_tests", "tests", "testing", "_tools", "proxy", "sidecar"},
)
"""Folders of packages that hold nothing that the relay of a command imports."""


class _Read(NamedTuple):
    """A module that has been read."""

    path: str
    folder: str
    """Of a package; empty for any other module."""
    content: bytes | CodeType
    is_source: bool = False

    def code(self) -> CodeType:
        """Return the code to run; raises SyntaxError, or ValueError for a broken file."""
        if isinstance(self.content, CodeType):
            return self.content
        if self.is_source:
            compiled: CodeType = compile(self.content, self.path, "exec", dont_inherit=True)
            return compiled
        loaded: CodeType = marshal.loads(memoryview(self.content)[_HEADER:])  # noqa: S302 - ours
        return loaded


class Memory:
    """A finder and loader of modules, whose code is in memory; PEP 451."""

    def __init__(self) -> None:
        self._modules: dict[str, _Read] = {}

    def read_package(self, name: str, loaded: Container[str]) -> None:
        """Read a package with all that is in it and not loaded; nothing if there is none."""
        spec = _spec(name)
        if spec is None:
            return
        for folder in spec.submodule_search_locations or ():
            for module, source, own in _walk(name, folder):
                if module not in loaded:
                    self._read(module, source, own)

    def read_module(self, name: str) -> None:
        """Read one module; nothing if there is none, or if it needs no file."""
        spec = _spec(name)
        if spec is None or spec.origin in ("built-in", "frozen"):
            return
        folder = next(iter(spec.submodule_search_locations or ()), "")
        if isinstance(spec.loader, SourceFileLoader):
            self._read(name, spec.loader.path, folder)
            return
        get_code = getattr(spec.loader, "get_code", None)  # of an archive, or an extension module
        code = get_code(name) if get_code is not None else None
        if code is not None:
            self._modules[name] = _Read(spec.origin or "", folder, code)

    def _read(self, name: str, source: str, folder: str) -> None:
        """Read a module, unless it is removed just now, or cannot be compiled."""
        with contextlib.suppress(FileNotFoundError, SyntaxError, ValueError):
            self._modules[name] = _read(name, source, folder)

    def find_spec(
        self, name: str, _path: object = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that has been read; None for all others."""
        read = self._modules.get(name)
        if read is None:
            return None
        loader: Any = self
        spec = ModuleSpec(name, loader, origin=read.path, is_package=bool(read.folder))
        spec.has_location = True
        if read.folder:
            spec.submodule_search_locations = [read.folder]
        return spec

    @staticmethod
    def create_module(_spec: ModuleSpec) -> None:
        """Leave it to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module; raises ImportError if it has not been read, and what running it raises."""
        name = module.__name__
        read = self._modules.get(name)
        if read is None:
            raise ImportError(f"{name} was not read before the command started", name=name)
        exec(read.code(), vars(module))  # noqa: S102 - what loaders do
        self._modules.pop(name, None)
        if name == "linecache":
            _without_lines(module)


def _spec(name: str) -> ModuleSpec | None:
    """Find a module where it would be imported from, loaded or not."""
    parent = name.rpartition(".")[0]
    path = importlib.import_module(parent).__path__ if parent else None
    specs = (finder.find_spec(name, path) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)


def _read(name: str, source: str, folder: str) -> _Read:
    """Read the compiled file of a module, or make it, or read its source; raises OSError."""
    if not source.endswith(tuple(SOURCE_SUFFIXES)):
        return _Read(source, folder, _content(source))
    parent, _, stem = source.rpartition(".")[0].rpartition("/")
    cached = stem.join(_cached_in(parent))
    content = _compiled(source, cached)
    if content is not None:
        return _Read(source, folder, content)
    if _is_kept(cached):
        code = SourceFileLoader(name, source).get_code(name)
        assert code is not None
        return _Read(source, folder, code)
    return _Read(source, folder, _content(source), is_source=True)


@functools.cache
def _cached_in(folder: str) -> list[str]:
    """Return what stands before and behind a module's name in the path of its compiled file.

    It is asked for once a folder: cache_from_source() takes as long as a file to be read.
    """
    return importlib.util.cache_from_source(f"{folder}/\0.py").split("\0")


def _walk(name: str, folder: str) -> Iterator[tuple[str, str, str]]:
    """Yield the modules of a package: name, file, and folder if it is a package itself."""
    suffixes = (*SOURCE_SUFFIXES, *BYTECODE_SUFFIXES)
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - quicker than a Path
        if suffix in suffixes:
            if stem == "__init__":
                yield name, entry.path, folder
            else:
                yield f"{name}.{stem}", entry.path, ""
        elif not suffix and entry.name not in _NOT_CODE and entry.is_dir():
            yield from _walk(f"{name}.{entry.name}", entry.path)


def _compiled(source: str, cached: str) -> bytes | None:
    """Return the compiled file of a source, header and all, if it is there and not stale."""
    try:
        content = _content(cached)
    except OSError:
        return None
    if len(content) < _HEADER or content[:4] != importlib.util.MAGIC_NUMBER:
        return None
    flags = int.from_bytes(content[4:8], "little")
    if flags & _BY_HASH:
        is_valid = not flags & _CHECKED or content[8:16] == importlib.util.source_hash(
            _content(source)
        )
    else:
        status = os.stat(source)  # noqa: PTH116 - quicker than a Path
        wanted = (int(status.st_mtime) & _32_BITS, status.st_size & _32_BITS)
        is_valid = wanted == (
            int.from_bytes(content[8:12], "little"),
            int.from_bytes(content[12:16], "little"),
        )
    return content if is_valid else None


def _content(path: str) -> bytes:
    """Return what is in a file; raises OSError. It takes 10 us, an open() three times that."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = os.fstat(fd).st_size
        content = os.read(fd, size + 1)
        while len(content) < size and (more := os.read(fd, size)):
            content += more
    finally:
        os.close(fd)
    return content


def _is_kept(cached: str) -> bool:
    """Return whether a compiled file would be kept: then all are compiled once, not each time."""
    folder = os.path.dirname(cached)  # noqa: PTH120 - quicker than a Path
    if not os.path.isdir(folder):  # noqa: PTH112
        folder = os.path.dirname(folder)  # noqa: PTH120
    return not sys.dont_write_bytecode and os.access(folder, os.W_OK)


def read(packages: Iterable[str], modules: Iterable[str], loaded: Container[str]) -> Memory:
    """Read these packages and single modules, but for what is loaded."""
    memory = Memory()
    for name in packages:
        memory.read_package(name, loaded)
    for name in modules:
        if name not in loaded:
            memory.read_module(name)
    return memory


def load_extensions(names: Iterable[str]) -> None:
    """Load extension modules; which ones are built in, or are there at all, differs."""
    for name in names:
        if name not in sys.modules:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def close(memory: Memory) -> None:
    """Import from memory alone from now on, and read no source lines."""
    finders: list[Any] = [memory, BuiltinImporter, FrozenImporter]
    sys.meta_path[:] = finders
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    if "linecache" in sys.modules:
        _without_lines(sys.modules["linecache"])
    sys.excepthook = _show
    sys.unraisablehook = _show_unraisable


def _without_lines(linecache: Any) -> None:
    """Have linecache, and with it traceback and warnings, read no file, nor look at one."""
    linecache.checkcache = lambda filename=None: None  # noqa: ARG005 - the signature
    linecache.updatecache = lambda filename, module_globals=None: []  # noqa: ARG005


def _show(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
    """Print what nobody has caught; the interpreter's own function reads the source."""
    import traceback  # noqa: PLC0415 - sessions mostly do without

    traceback.print_exception(kind, error, frames)


def _show_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Print what was raised where it cannot go on, such as in a finaliser."""
    if sys.stderr is not None:
        sys.stderr.write(f"Exception ignored in: {unraisable.object!r}\n")
    _show(
        unraisable.exc_type, unraisable.exc_value or unraisable.exc_type(), unraisable.exc_traceback
    )
