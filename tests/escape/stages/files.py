"""Files, pipes and sockets of the host's, and what processes share without a file."""

import ctypes
import os
import shutil
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.escape.arena import (
    listen_at,
)
from tests.escape.attempts import Attempt
from tests.escape.row import Stage

from .common import LackingError


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def files(*names: str, of_root: bool = False) -> Stage:
    """Return a stage with files of the host's: the caller's own, or root's."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        base = attempt.arena.home if not of_root else attempt.arena.internet.directory / "roots"
        base.mkdir(mode=0o755, exist_ok=True)
        paths = [str(base / f"{attempt.token}-{name}") for name in names]
        for path in map(Path, paths):
            _write(path, "as it was\n")
            if not of_root:
                attempt.arena.own(path)
        attempt.kept["paths"] = attempt.facts["paths"] = paths
        yield

    return stage


def made(*templates: str) -> Stage:
    """Return a stage in which the program may make files of these paths, with its token."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        paths = [text.format(token=attempt.token) for text in templates]
        attempt.kept["paths"] = attempt.facts["paths"] = paths
        try:
            yield
        finally:
            for path in map(Path, paths):
                if path.is_dir():
                    path.rmdir()
                path.unlink(missing_ok=True)

    return stage


def paths(*names: str) -> Stage:
    """Return a stage with nothing but files that are there."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        attempt.facts["paths"] = names
        yield

    return stage


@asynccontextmanager
async def fifo(attempt: Attempt) -> AsyncIterator[None]:
    """A pipe in the home that a process of the host reads."""
    path = attempt.arena.home / f"{attempt.token}-pipe"
    os.mkfifo(path)
    attempt.arena.own(path)
    path.chmod(0o600)
    attempt.facts["fifo"] = str(path)
    attempt.kept["terminal"] = [os.open(path, os.O_RDWR | os.O_NONBLOCK)]
    yield
    os.close(attempt.kept["terminal"][0])


@asynccontextmanager
async def setuid(attempt: Attempt) -> AsyncIterator[None]:
    """A path in the working folder for a program."""
    attempt.kept["setuid"] = attempt.facts["setuid"] = str(attempt.folder / "as-root")
    yield


@asynccontextmanager
async def setuid_program(attempt: Attempt) -> AsyncIterator[None]:
    """A program of root's that writes files as root, whoever starts it, and a file of root's."""
    async with files("file", of_root=True)(attempt):
        program = attempt.arena.internet.directory / "roots/write"
        if not program.exists():
            shutil.copy(shutil.which("tee") or "tee", program)
            program.chmod(0o4755)
        attempt.facts["writer"] = str(program)
        yield


@asynccontextmanager
async def handle(attempt: Attempt) -> AsyncIterator[None]:
    """The handle of a file in the host's /tmp, struct file_handle of name_to_handle_at(2)."""
    path = attempt.arena.temporary / attempt.token
    _write(path, attempt.secret)
    found = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0), 136)
    number = {"x86_64": 303, "aarch64": 264}[os.uname().machine]
    mount = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, -100, str(path).encode(), found, ctypes.byref(mount), 0):
        raise LackingError(f"no handles: {os.strerror(ctypes.get_errno())}")
    attempt.facts["handle"] = found.raw.hex()
    yield


@asynccontextmanager
async def memory_key(attempt: Attempt) -> AsyncIterator[None]:
    """Shared memory of the host's, by its key: the host's own, so that it can be removed."""
    attempt.kept["key"] = attempt.facts["key"] = int(attempt.token[-7:], 16)
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(attempt.kept["key"], 4096, 0o1666)  # IPC_CREAT
    yield
    libc.shmctl(segment, 0, None)  # IPC_RMID


@asynccontextmanager
async def queue(attempt: Attempt) -> AsyncIterator[None]:
    """A message queue, which is removed at the end."""
    yield
    ctypes.CDLL(None).mq_unlink(f"/{attempt.token}".encode())


def socket_of(name: str) -> Stage:
    """Return a stage with a socket of the host's, by its path or by whose it is."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        arena = attempt.arena
        path = {"agent": arena.agent, "multiplexer": arena.multiplexer, "keys": arena.keys}.get(
            name, name
        )
        async with trio.open_nursery() as nursery:
            if name == "work":
                path = str(attempt.folder / "socket")
                listeners = [listen_at(arena, path)]
                nursery.start_soon(trio.serve_listeners, arena.hear, listeners)
            attempt.facts["sockets"] = [path]
            yield
            nursery.cancel_scope.cancel()

    return stage


@asynccontextmanager
async def later_socket(attempt: Attempt) -> AsyncIterator[None]:
    """A socket that the host makes when the program asks for it."""
    path = str(attempt.arena.home / f"{attempt.token}-socket")
    attempt.facts["later_socket"] = path

    async def make() -> None:
        wanted = attempt.folder / "make it"
        while not wanted.exists():  # noqa: ASYNC110, a file tells by no event
            await trio.sleep(0.01)
        listener = listen_at(attempt.arena, path)
        await trio.serve_listeners(attempt.arena.hear, [listener])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def link(attempt: Attempt) -> AsyncIterator[None]:
    """A name for a device, which is removed at the end."""
    attempt.kept["link"] = attempt.facts["link"] = f"esc{attempt.token[-8:]}"
    yield
