"""Ways by ports of the host's loopback: one is to be opened, or to be published elsewhere."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .dialling import dial
from .kernel import CLONE_NEWNS, MNT_DETACH, MS_BIND, MS_REMOUNT, nested, syscall
from .met import attempt

_LOOPBACK: Final = ("127.0.0.1", "127.1.2.3", "::1", "host.internal", "host.docker.internal")
_UNTIL_BELIEVED: Final = 0.5
"""Seconds in which a file that is believed opens a port: a look at a folder comes after 0.1."""
_PAUSE: Final = 0.1


def lock_file(facts: Any) -> None:
    """Say in an editor's name that its port is a server for agents, by each way to its folder."""
    folder, name = Path(facts.ide), f"{facts.port}.lock"
    text = json.dumps({"pid": facts.listener, "workspaceFolders": [], "transport": "ws"})
    own = Path(facts.ide).parents[1] / name
    own.write_text(text)
    for place in (folder, *(Path(f"/proc/{pid}/root{folder}") for pid in _others(facts))):
        _write_lock(place / name, own, text)
    child = os.fork()
    if child == 0:
        _in_namespaces_of_its_own(folder, name, text)
        os._exit(0)
    os.waitpid(child, 0)
    moved = folder.parent.with_name("moved")
    with attempt():
        folder.parent.rename(moved)
        folder.mkdir(parents=True)
    for place in (folder, moved / folder.name):
        _write_lock(place / name, own, text)
    _dial_for_a_while(facts)


def _others(facts: Any) -> Iterator[int]:
    yield facts.listener
    yield facts.relay


def _write_lock(path: Path, own: Path, text: str) -> None:
    """Leave the file there by each call that makes a name."""
    for way in (
        lambda: path.write_text(text),
        lambda: os.link(own, path),
        lambda: path.symlink_to(own),
        lambda: own.replace(path),
    ):
        with attempt():
            way()
    if not own.exists():
        own.write_text(text)


def _in_namespaces_of_its_own(folder: Path, name: str, text: str) -> None:
    """Write below the mount, or by it, as root of nested namespaces; what it meets is lost."""
    with attempt():
        nested(CLONE_NEWNS)
        with attempt():
            syscall("mount", None, str(folder).encode(), None, MS_REMOUNT | MS_BIND, None)
        with attempt():
            syscall("umount2", str(folder).encode(), MNT_DETACH)
        (folder / name).write_text(text)


def settings(facts: Any) -> None:
    """Name a port in whatever files open one at the start, keepline's and those of agents."""
    for path, text in facts.settings:
        with attempt():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
    _dial_for_a_while(facts)


def _dial_for_a_while(facts: Any) -> None:
    until = time.monotonic() + _UNTIL_BELIEVED
    while time.monotonic() < until:
        for host in _LOOPBACK:
            with attempt():
                dial(facts, host, facts.port)
        time.sleep(_PAUSE)


def editors_port(facts: Any) -> None:
    """Dial the port at each address of the host's loopback, while it is opened."""
    _dial_for_a_while(facts)


def each(facts: Any) -> None:
    """Dial each host."""
    for host in facts.hosts:
        with attempt():
            dial(facts, host, facts.port)


def serve(facts: Any) -> None:
    """Send the token to whoever comes, from wherever; ask by files for all that may come."""
    for path, text in getattr(facts, "settings", ()):
        with attempt():
            Path(path).write_text(text)
    listener = socket.create_server(("", facts.served))
    threading.Thread(target=_answer, args=(listener, facts.token.encode()), daemon=True).start()


def _answer(listener: socket.socket, token: bytes) -> None:
    """Send the token to each, until the program ends."""
    while True:
        connection, _address = listener.accept()
        with connection:
            connection.sendall(token)
