"""Addresses that stand for names: the same in each session, in the pool that is set, or none."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import trio

from netns import syscalls
from relay.record.events import ConnectionDenied, NameAssigned
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.world import SERVER, Internet

FETCH = ("curl", "-sS", "--max-time", "10")


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    await nursery.start(serve, Site(), listen(internet.server, SERVER, 80))
    return Keepline(internet)


async def serve_at(internet: Internet, nursery: trio.Nursery, address: str) -> None:
    """Have a server at another address, and `odd.test` resolve to it."""
    internet.zone.add("odd.test", "A", address)
    internet.backbone.right.add_address(f"{address}/32")
    internet.backbone.left.add_route(f"{address}/32", SERVER)
    await nursery.start(serve, Site(), listen(internet.server, address, 80))


async def test_a_name_has_its_address_in_the_next_session_too(keepline: Keepline) -> None:
    first = await keepline.run("getent", "ahostsv4", "v4.test")
    script = "getent ahostsv4 server.test >/dev/null; getent ahostsv4 v4.test"
    second = await keepline.run("bash", "-c", script)
    assert second.stdout == first.stdout


def ssh_server(internet: Internet, folder: Path) -> list[str]:
    """Prepare a server that serves one connection on stdin, and return its command."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert sshd is not None
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True
    )
    if os.getuid() == 0:  # it wants a folder that is root's to give its privileges up in

        def cover_run() -> None:
            syscalls.mount("tmpfs", "/run", "tmpfs")
            Path("/run/sshd").mkdir()

        internet.server.call(cover_run)
    return [sshd, "-i", "-f", "/dev/null", "-h", str(folder / "key"), "-o", "UsePAM=no"]


async def test_ssh_checks_the_address_of_a_host(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """With CheckHostIP, a key that is known by its name has to be known by its address too."""
    server = ssh_server(internet, tmp_path)
    listener = listen(internet.server, SERVER, 22)

    async def serve_ssh(stream: trio.SocketStream) -> None:
        with socket.fromfd(stream.socket.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy:
            copy.setblocking(True)
            sshd = internet.server.popen(server, stdin=copy, stdout=copy, stderr=subprocess.DEVNULL)
        await trio.to_thread.run_sync(sshd.wait)

    await nursery.start(serve, serve_ssh, listener)
    known = tmp_path / "known_hosts"
    ssh = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "CheckHostIP=yes"]
    ssh += ["-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=none"]
    accept = [*ssh, "-o", "StrictHostKeyChecking=accept-new", "v4.test", "true"]
    strict = [*ssh, "-o", "StrictHostKeyChecking=yes", "v4.test", "true"]
    first = await keepline.run(*accept, check=False)
    assert "Permanently added 'v4.test,198." in first.stderr
    before = known.read_text()
    other = "getent ahostsv4 server.test >/dev/null"
    second = await keepline.run("bash", "-c", f'{other}; exec "$@"', "-", *strict, check=False)
    assert "Permission denied" in second.stderr, "the key was checked, and there is no login"
    assert "authenticity" not in second.stderr
    assert known.read_text() == before


async def test_a_pool_of_ones_own(keepline: Keepline) -> None:
    pool = ["--dns-pool=10.200.0.0/16"]
    done = await keepline.run(*FETCH, "http://v4.test/", options=pool)
    assert done.stdout == b"hello"
    assert done.only(NameAssigned).address.startswith("10.200.")
    shown = await keepline.run("cat", "/etc/resolv.conf", options=pool)
    assert b"nameserver 10.200.0.1\n" in shown.stdout


@pytest.mark.parametrize("options", [[], ["--dns=real"]], ids=["synthetic", "real"])
async def test_addresses_of_a_fake_ip_resolver(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery, options: list[str]
) -> None:
    """Proxies answer names by 198.18.0.0/16 and take what is sent there: so does the relay."""
    await serve_at(internet, nursery, "198.18.3.7")
    done = await keepline.run(*FETCH, "http://odd.test/", options=options)
    assert done.stdout == b"hello"
    asked = await keepline.run("getent", "ahostsv4", "odd.test", options=options)
    assert (b"198.18.3.7 " in asked.stdout) is bool(options)


async def test_an_address_of_the_pool_without_a_name_is_denied_and_why(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery
) -> None:
    await serve_at(internet, nursery, "198.18.3.7")
    url = "http://198.18.3.7/"
    done = await keepline.run(*FETCH, url, check=False)
    assert "dns_pool" in done.only(ConnectionDenied).rule
    for options in (["--dns-pool=10.200.0.0/16"], ["--dns=real"]):
        assert (await keepline.run(*FETCH, url, options=options)).stdout == b"hello"


async def test_doctor_names_what_the_host_has_in_the_pool(
    internet: Internet, keepline: Keepline
) -> None:
    internet.access.left.add_address("198.18.0.1/16")
    told = (await keepline.call("doctor")).stdout.decode()
    assert (
        "198.18.0.0/15, in which there is a route to 198.18.0.0/16, the host's 198.18.0.1" in told
    )
    assert "set another dns_pool" in told
    keepline.config.write_text("dns_pool = '10.200.0.0/16'\n")
    assert "set another dns_pool" not in (await keepline.call("doctor")).stdout.decode()
