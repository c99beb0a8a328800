"""Programs of people use a service of the host's loopback, by a flag or the environment alone."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import trio

from relay.record.events import Dialled, HostPortOpened
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers import postgres
from tests.support.internet.world import Internet
from tests.support.pace import patience

PORT: Final = 6379
_NODE: Final = """
const socket = require("net").connect(6379, "localhost", () => socket.write("PING\\r\\n"));
socket.on("data", (data) => { process.stdout.write(data); socket.end(); });
"""
_PYTHON: Final = """
import socket
with socket.create_connection(("localhost", 6379)) as sock:
    sock.sendall(b"PING\\r\\n")
    print(sock.makefile().readline())
"""
_JAVA: Final = """
public class Ping {
    public static void main(String[] words) throws Exception {
        var socket = new java.net.Socket("localhost", 6379);
        socket.getOutputStream().write("PING\\r\\n".getBytes());
        System.out.println(new java.io.BufferedReader(
            new java.io.InputStreamReader(socket.getInputStream())).readLine());
    }
}
"""
_DATABASE: Final = """
import os, threading, psycopg
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("CREATE TEMPORARY TABLE numbers (n int, text text)")
    with connection.cursor().copy("COPY numbers FROM STDIN") as rows:
        for n in range(20_000):
            rows.write_row((n, "x" * 100))
    with connection.cursor().copy("COPY numbers TO STDOUT") as rows:
        print(sum(map(len, rows)))
    connection.commit()
    # Each cancel is a connection more, which libpq makes to the address of the first; one that
    # comes before the query does is for nothing, so there are more until it has ended.
    ended = threading.Event()
    def cancel():
        while not ended.wait(0.05):
            connection.cancel()
    threading.Thread(target=cancel).start()
    try:
        connection.execute("SELECT pg_sleep(600)")
    except psycopg.errors.QueryCanceled:
        print("cancelled")
    finally:
        ended.set()
"""


@pytest.fixture
async def keepline(internet: Internet, tmp_path: Path) -> AsyncIterator[Keepline]:
    """Yield keepline; Redis listens on the host's loopback, by IPv4 alone."""
    words = ["--port", str(PORT), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    command = [needs("redis-server"), *words]
    with internet.client.popen(command, stdout=subprocess.PIPE) as server:
        with trio.fail_after(patience(20)):
            await trio.to_thread.run_sync(_until_ready, server, abandon_on_cancel=True)
        yield Keepline(internet)
        server.terminate()


def _until_ready(server: "subprocess.Popen[bytes]") -> None:
    assert server.stdout is not None
    for line in server.stdout:
        if b"eady to accept connections" in line:
            return


async def test_a_service_is_used_by_programs_of_all_kinds(
    keepline: Keepline, tmp_path: Path
) -> None:
    java = tmp_path / "Ping.java"
    java.write_text(_JAVA)
    curl = [needs("curl"), "-s", "telnet://localhost:6379"]
    for command, stdin in (
        ([needs("redis-cli"), "ping"], b""),
        ([needs("redis-cli"), "-h", "host.internal", "ping"], b""),
        ([needs("node"), "-e", _NODE], b""),
        ([sys.executable, "-c", _PYTHON], b""),
        ([needs("java"), str(java)], b""),
        (curl, b"PING\r\nQUIT\r\n"),
    ):
        done = await keepline.run(*command, options=["--host-port", str(PORT)], stdin=stdin)
        assert b"PONG" in done.stdout, command
        assert done.stderr == "", command
        assert done.all(Dialled)


async def test_status_and_explain_name_the_port(keepline: Keepline) -> None:
    keepline.config.write_text(f"host_ports = [{PORT}]\n")
    told = f"port {PORT} of the host's loopback opened by {keepline.config}:1"
    subscribe = [needs("redis-cli"), "subscribe", "x"]
    async with keepline.start(*subscribe) as session:
        await session.until(Dialled)
        status = await keepline.call("status")
        assert f"  {told}, used once" in status.stdout.decode().splitlines()
        session.process.terminate()
        await session.end()
    explained = (await keepline.call("explain")).stdout.decode()
    assert f"  {told}, used once\n" in explained
    why = await keepline.call("policy", "why", f"localhost:{PORT}")
    assert why.stdout.decode().startswith(f"localhost:{PORT}: allowed\n")


async def test_a_database_is_used_by_its_clients(internet: Internet, tmp_path: Path) -> None:
    """The port is opened by a flag, or by DATABASE_URL in the environment; it is closed else."""
    keepline = Keepline(internet)
    ask = [needs("psql"), "--no-psqlrc", "-Atc", "SELECT 6 * 7"]
    async with postgres.serving(internet.client, tmp_path) as url:
        closed = await keepline.run(*ask, url, check=False)
        assert "Connection refused" in closed.stderr
        by_flag = await keepline.run(*ask, url, options=["--host-port", str(postgres.PORT)])
        assert (by_flag.stdout, by_flag.stderr) == (b"42\n", "")
        told = {"DATABASE_URL": url}
        by_variable = await keepline.run(*ask, url, env=told)
        assert by_variable.stdout == b"42\n"
        assert by_variable.only(HostPortOpened).source == "DATABASE_URL"
        python = await keepline.run(sys.executable, "-c", _DATABASE, env=told)
        assert python.stdout == b"2128890\ncancelled\n"
        assert len(python.all(Dialled)) >= 2
