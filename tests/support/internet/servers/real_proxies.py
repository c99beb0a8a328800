"""Real proxies in a host of the small internet: squid with Basic, SOCKS5 by microsocks and dante.

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
auth_param basic program {folder}/authenticate
auth_param basic children 1 startup=1
acl known proxy_auth REQUIRED
acl tls port 443 {ports}
http_access deny CONNECT !tls
http_access deny !known
http_access allow known
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
_AUTHENTICATE: Final = """#!/bin/sh
while read -r line; do [ "$line" = '{user} {password}' ] && echo OK || echo ERR; done
"""
_DANTES: Final = """
logoutput: /dev/null
internal: {address} port = {port}
external: {address}
clientmethod: none
socksmethod: none
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""
_STARTED: Final = 20.0


def start_squid(host: Host, address: str, port: int, ports: Sequence[int] = ()) -> None:
    """Start it; beside 443 it connects to these ports."""
    folder = host.directory
    folder.chmod(0o755)
    helper = folder / "authenticate"
    password = PASSWORD.replace("%", "%25").replace(" ", "%20")  # as squid writes it
    helper.write_text(_AUTHENTICATE.format(user=USER, password=password))
    helper.chmod(0o755)
    settings = folder / "squid.conf"
    allowed = " ".join(map(str, ports))
    settings.write_text(
        _SETTINGS.format(
            address=address,
            port=port,
            folder=folder,
            names=NAMES,
            ports=allowed,
            user="" if os.geteuid() else "cache_effective_user nobody",  # it refuses to be root
        )
    )
    host.call(partial(mount, "tmpfs", "/dev/shm", "tmpfs"))  # where it leaves files
    host.popen([_program("squid"), "-N", "-f", str(settings)])


def start_dante(host: Host, address: str, port: int) -> None:
    """Start it, for everybody: a password of dante's is one of the machine's users.

    It outlives a SIGKILL in processes of its own, so it has a PID namespace, which ends with it.
    """
    settings = host.directory / "danted.conf"
    settings.write_text(_DANTES.format(address=address, port=port))
    words = [_program("danted"), "-f", str(settings), "-p", str(host.directory / "danted.pid")]
    alone = ["unshare", "--user", "--map-current-user", "--pid", "--fork", "--kill-child"]
    host.popen([*alone, "--", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def start_microsocks(host: Host, address: str, port: int) -> None:
    """Start it."""
    credentials = ("-u", USER, "-P", PASSWORD)
    host.popen([_program("microsocks"), "-i", address, "-p", str(port), *credentials])


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
    """Return its path; squid and dante are where only root looks."""
    path = Path("/usr/sbin", name)
    return str(path) if path.exists() else needs(name)
