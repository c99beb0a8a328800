"""A real PostgreSQL on a host's loopback: `serving(internet.client, folder)`.

It refuses to be root, and runs as an ordinary user who is the caller's own outside. It listens at
127.0.0.1 alone, wants its user's password (SCRAM), and leaves nothing but its folder.
"""

import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from netns import syscalls
from tests.support.command.programs import needs
from tests.support.internet.as_user import as_user
from tests.support.internet.enter import ORDINARY_ID
from tests.support.internet.hosts import Host
from tests.support.pace import patience

PORT: Final = 5432
USER: Final = "me"
PASSWORD: Final = "p@ss w%rd"
URL: Final = f"postgresql://{USER}:p%40ss%20w%25rd@localhost:{PORT}/postgres"

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "port": PORT,
    "unix_socket_directories": "",
    "shared_buffers": "1MB",
    "max_connections": 20,
    "fsync": "off",
    "autovacuum": "off",
}
_DEBIAN: Final = Path("/usr/lib/postgresql")
_STARTED: Final = 30.0


@asynccontextmanager
async def serving(host: Host, folder: Path) -> AsyncIterator[str]:
    """Run a server whose data lie in a folder; yield the URL for its user."""
    programs = _programs()
    _know_user(host, folder)
    data, password = folder / "data", folder / "password"
    password.write_text(f"{PASSWORD}\n")
    words = ["--no-sync", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}"]
    initdb = [str(programs / "initdb"), *words, "--locale=C", "--encoding=UTF8", str(data)]
    await host.run_process(as_user(*initdb))
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    command = as_user(str(programs / "postgres"), "-D", str(data), *settings)
    with host.popen(command, stderr=subprocess.PIPE) as server:
        try:
            with trio.fail_after(patience(_STARTED)):
                await trio.to_thread.run_sync(_until_ready, server, abandon_on_cancel=True)
            yield URL
        finally:
            server.send_signal(signal.SIGQUIT)  # its "immediate" shutdown: it waits for no client


def _until_ready(server: "subprocess.Popen[bytes]") -> None:
    assert server.stderr is not None
    if not any(b"ready to accept connections" in line for line in server.stderr):
        raise AssertionError("PostgreSQL has not started")


def _programs() -> Path:
    """Return the folder of the server's programs: Debian keeps them out of PATH."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else Path(needs("initdb")).resolve().parent


def _know_user(host: Host, folder: Path) -> None:
    """Have /etc/passwd of the host name the ordinary user: initdb asks for its name."""
    passwd = folder / "passwd"
    others = Path("/etc/passwd").read_text()
    passwd.write_text(f"ordinary:x:{ORDINARY_ID}:{ORDINARY_ID}::{folder}:/bin/sh\n{others}")
    host.call(partial(syscalls.mount, str(passwd), "/etc/passwd", flags=syscalls.MS_BIND))
