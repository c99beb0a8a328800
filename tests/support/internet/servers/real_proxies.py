"""Real proxies in a host of the small internet: squid with Basic, microsocks with a password.

squid = start_squid(internet.router, GATEWAY, 3128)         # for USER:PASSWORD alone
await listening(internet.router, GATEWAY, 3128)             # and has ended with its host

Squid's settings are those of Debian's package where these decide: CONNECT to port 443 alone.
"""

import os
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from netns.syscalls import mount
from tests.support.command.programs import needs
from tests.support.internet.hosts import Host
from tests.support.internet.servers.listening import connect
from tests.support.internet.world import NAMES
from tests.support.pace import patience

USER: Final = "me"
PASSWORD: Final = "p@ss w%rd"
_SETTINGS: Final = """
http_port {address}:{port}
acl tls port 443 {ports}
http_access deny CONNECT !tls
{users}
dns_nameservers {names}
hosts_file none
cache deny all
access_log none
cache_log /dev/null
pid_filename none
coredump_dir /
netdb_filename none
visible_hostname proxy
pinger_enable off
shutdown_lifetime 0 seconds
{user}
"""
_KNOWN: Final = """
auth_param basic program {folder}/authenticate
auth_param basic children 1 startup=1
acl known proxy_auth REQUIRED
http_access deny !known
http_access allow known
"""
_BEHIND: Final = """
http_access allow all
never_direct allow all
cache_peer {parent} parent {port} 0 no-query no-digest default login={user}:{password}
"""
_AUTHENTICATE: Final = """#!/bin/sh
while read -r line; do [ "$line" = '{user} {password}' ] && echo OK || echo ERR; done
"""
_STARTED: Final = 20.0


def start_squid(
    host: Host, address: str, port: int, ports: Sequence[int] = (), *, behind: str = ""
) -> None:
    """Start it; beside 443 it connects to these ports.

    One that is `behind` another, at the same port, is for everybody and knows that one's password,
    as cntlm and px on a user's own machine do.
    """
    folder = host.directory
    folder.chmod(0o755)
    helper = folder / "authenticate"
    password = PASSWORD.replace("%", "%25").replace(" ", "%20")  # as squid writes it
    helper.write_text(_AUTHENTICATE.format(user=USER, password=password))
    helper.chmod(0o755)
    settings = folder / "squid.conf"
    allowed = " ".join(map(str, ports))
    users = _KNOWN.format(folder=folder)
    if behind:
        written = PASSWORD.replace("%", "%%").replace(" ", "%20")  # cache_peer's own way
        users = _BEHIND.format(parent=behind, port=port, user=USER, password=written)
    settings.write_text(
        _SETTINGS.format(
            address=address,
            port=port,
            users=users,
            names=NAMES,
            ports=allowed,
            user="" if os.geteuid() else "cache_effective_user nobody",  # it refuses to be root
        )
    )
    host.call(partial(mount, "tmpfs", "/dev/shm", "tmpfs"))  # where it leaves files
    host.popen([_program("squid"), "-N", "-f", str(settings)])


def start_microsocks(host: Host, address: str, port: int) -> None:
    """Start it."""
    credentials = ("-u", USER, "-P", PASSWORD)
    words = [_program("microsocks"), "-i", address, "-p", str(port), *credentials]
    host.popen(words, stderr=subprocess.DEVNULL)  # it tells of each connection


async def listening(host: Host, address: str, port: int) -> None:
    """Wait until somebody listens there."""
    with trio.fail_after(patience(_STARTED)):
        while True:
            try:
                async with await connect(host, address, port):
                    return
            except ConnectionRefusedError:
                await trio.sleep(0.02)


def _program(name: str) -> str:
    """Return its path; squid is where only root looks."""
    path = Path("/usr/sbin", name)
    return str(path) if path.exists() else needs(name)
