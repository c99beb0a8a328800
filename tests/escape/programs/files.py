"""Ways by files: those of the user, of root, of the kernel, of keepline."""

import errno
import os
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from .kernel import CLONE_NEWNS, CLONE_NEWPID, MS_BIND, MS_REMOUNT, nested, syscall
from .met import attempt, met
from .waiting import wait_for

_held: Final[list[int]] = []


def write(facts: Any) -> None:
    """Write the token where others of the host read it."""
    for path in facts.paths:
        with attempt(), Path(path).open("a") as file:
            file.write(f"{facts.token}\n")


def fifo(facts: Any) -> None:
    """Write the token into a pipe that a process of the host reads."""
    fd = os.open(facts.fifo, os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, facts.token.encode())


def hold_open(facts: Any) -> None:
    """Open files of the kernel for writing, and hold them for the host to look at."""
    for path in facts.paths:
        with attempt():
            _held.append(os.open(path, os.O_WRONLY))


def kernel_when_nested(facts: Any) -> None:
    """Do the same as root of nested namespaces, also by a proc that is mounted anew."""
    nested(CLONE_NEWNS | CLONE_NEWPID)
    for path in ("/proc/sys", "/sys"):
        with attempt():
            syscall("mount", None, path.encode(), None, MS_REMOUNT | MS_BIND, None)
    hold_open(facts)
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        for text in os.fdopen(read).read().split():
            met(text)
        return
    os.close(read)
    place = Path("proc")
    try:
        place.mkdir()
        syscall("mount", b"proc", str(place).encode(), b"proc", 0, None)
        for path in facts.paths:
            _held.append(os.open(f"{place}{path.removeprefix('/proc')}", os.O_WRONLY))
    except OSError as error:
        os.write(write, f"{errno.errorcode[error.errno or 0]}\n".encode())
    os.close(write)
    wait_for(Path("go"))
    os._exit(0)


def disks(facts: Any) -> None:
    """Open the disks of the machine, by their own nodes or by one that is made here."""
    for number, line in enumerate(Path("/proc/partitions").read_text().splitlines()[2:]):
        major, minor, _blocks, name = line.split()
        with attempt():
            _held.append(os.open(f"/dev/{name}", os.O_RDONLY))
        with attempt():
            os.mknod(f"disk{number}", 0o060600, os.makedev(int(major), int(minor)))
            _held.append(os.open(f"disk{number}", os.O_RDONLY))


def cgroups(facts: Any) -> None:
    """Make a control group."""
    for path in facts.paths:
        with attempt():
            Path(path).mkdir()


def setuid(facts: Any) -> None:
    """Leave a program that runs as root, whoever starts it."""
    target = Path(facts.setuid)
    shutil.copy("/bin/true", target)
    with attempt():
        os.chown(target, 0, 0)
    target.chmod(0o4755)


def by_setuid(facts: Any) -> None:
    """Have a setuid program write."""
    for path in facts.paths:
        done = subprocess.run([facts.writer, path], input=facts.token.encode(), check=False)
        with attempt():
            if done.returncode:
                raise PermissionError(errno.EACCES, path)


def by_handle(facts: Any) -> str:
    """Read a file of the host's by its handle, as root of nested namespaces too."""
    handle = bytes.fromhex(facts.handle)
    read = []
    for is_nested in (False, True):
        with attempt():
            if is_nested:
                nested(CLONE_NEWNS)
            for place in ("/", "/usr", "."):
                with attempt():
                    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
                    opened = syscall("open_by_handle_at", folder, handle, os.O_RDONLY)
                    read.append(os.read(opened, 100).decode())
    return " ".join(read)


def record(facts: Any) -> None:
    """Rewrite the session's own record."""
    with attempt():
        for path in Path(facts.sessions).iterdir():
            path.write_text(facts.token)


def installation(facts: Any) -> None:
    """Rewrite what the relay is made of, then have it load more: ask a name, connect."""
    code = (
        "import socket as _s, os as _o\n"
        "try:\n"
        f"    _c = _s.create_connection(('127.0.0.1', {facts.loopback_port}), 2)\n"
        f"    _c.sendall({facts.token.encode()!r})\n"
        "except OSError: pass\n"
    )
    for place in Path(facts.installation).rglob("*.py"):
        with attempt():
            place.write_text(code)
    for place in Path(facts.installation).rglob("__pycache__"):
        shutil.rmtree(place, ignore_errors=True)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        question = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"\3www\2v4\4test\0" + b"\0\x10\0\1"
        with attempt(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(0.3)
            asker.sendto(question, (facts.nameserver, 53))
            asker.recv(512)
        with attempt(), socket.create_connection((facts.server, 80), 0.3) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        time.sleep(0.1)
