"""Where no namespace may be made, programs go through keepline by the variables that it sets."""

import hashlib
import json
import os
import shlex
import signal
import sys
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest
import trio

from relay.record.events import (
    AskedAgain,
    ConnectionDenied,
    ConnectionOpened,
    DialHeld,
    RequestLost,
    SessionStarted,
)
from tests.kernel.test_claude import (
    CUTS,
    HOST,
    KEY,
    SAID_LAST,
    claude,
    respond,
    result,
    runs_of_the_tool,
)
from tests.kernel.test_clients import make_repository, serve_git, serve_tls
from tests.support.command.asking import explained, keepline_of
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.faults import drop
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.api.faults import Failure
from tests.support.internet.servers.api.server import Api, context
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import listen, over_tls, serve
from tests.support.internet.world import CLIENT, SERVER, Internet
from tests.support.machine.lacking import lacking

NAME = "server.test"
PROXY = ("--intercept=proxy",)
PASSABLE = "programs that ignore proxies go past keepline"


class WithoutNamespaces(Keepline):
    """A keepline that may make none, as in most containers."""

    @staticmethod
    def argv(*arguments: str) -> list[str]:
        return lacking("unshare", *Keepline.argv(*arguments))


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    """Return keepline where nothing is allowed, in a home that knows of no other session."""
    made = WithoutNamespaces(internet)
    made.environment = keepline_of(internet, internet.authority).environment
    home = made.folder / "home"
    home.mkdir()
    made.environment |= {"HOME": str(home), "npm_config_cache": str(home / "npm")}
    return made


@pytest.fixture
async def site(internet: Internet, nursery: trio.Nursery, tmp_path: Path) -> Path:
    """Serve a folder, over TLS too, and return it."""
    handler = Site(files=tmp_path)
    await serve_tls(internet, nursery, handler)
    await nursery.start(serve, handler, listen(internet.server, SERVER, 80))
    return tmp_path


def wheel(folder: Path) -> None:
    """Make a package that pip takes."""
    about = "kept-1.0.dist-info"
    with zipfile.ZipFile(folder / "kept-1.0-py3-none-any.whl", "w") as file:
        file.writestr("kept.py", "")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: kept\nVersion: 1.0\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")


CURL = f"""
    curl -sS http://{NAME}/ https://{NAME}/ && echo
    curl -sS -x "socks5h://${{HTTP_PROXY#http://}}" https://{NAME}/ && echo
    curl -sS -d 12 http://{NAME}/echo && echo
    head -c 3000000 /dev/zero | curl -sS -T - -X POST http://{NAME}/digest
"""
BUN = f"""bun -e 'console.log(await (await fetch("https://{NAME}/")).text())'"""
PIP = f"""
    python -m pip -q --disable-pip-version-check download --no-deps --no-cache-dir -d . \\
        https://{NAME}/files/kept-1.0-py3-none-any.whl && echo *.whl
"""
NPM = f"""
    npm pack --silent --no-update-notifier --fetch-retries=0 --cafile "$NODE_EXTRA_CA_CERTS" \\
        https://{NAME}/files/kept.tgz
"""


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        (CURL, ["hellohello", "hello", "12", hashlib.sha256(bytes(3_000_000)).hexdigest()]),
        (BUN, ["hello"]),
        (PIP, ["kept-1.0-py3-none-any.whl"]),
        (NPM, ["kept-1.0.0.tgz"]),
    ],
    ids=["curl", "bun", "pip", "npm"],
)
async def test_programs_are_led_through_it_by_name(
    keepline: Keepline, site: Path, script: str, wanted: list[str]
) -> None:
    wheel(site)
    (site / "package.json").write_text('{"name": "kept", "version": "1.0.0"}')
    with tarfile.open(site / "kept.tgz", "w:gz") as file:
        file.add(site / "package.json", "package/package.json")
    folders = (str(Path(needs(name)).parent) for name in ("bun", "npm"))
    path = os.pathsep.join((str(Path(sys.executable).parent), *folders, os.environ["PATH"]))
    home, variables = keepline.environment["HOME"], {"PATH": path}
    done = await keepline.run("sh", "-c", script, options=PROXY, cwd=home, env=variables)
    assert done.stdout.decode().splitlines() == wanted
    opened = {event.to for event in done.all(ConnectionOpened)}
    assert opened <= {f"{NAME}:443", f"{NAME}:80"}
    assert opened
    (told,) = done.stderr.splitlines()
    assert PASSABLE in told
    assert done.only(SessionStarted).intercept == "proxy"
    assert "programs that ignore it go past keepline" in (await explained(keepline))[0]


async def test_git_clones_through_it(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, tmp_path: Path
) -> None:
    origin = await make_repository(tmp_path / "origin")
    await serve_tls(internet, nursery, partial(serve_git, tmp_path))
    clone = tmp_path / "clone"
    await keepline.run(
        needs("git"), "clone", "-q", f"https://{NAME}/origin", str(clone), options=PROXY
    )
    assert (clone / "large").read_bytes() == (origin / "large").read_bytes()


async def test_an_outage_is_held_and_a_name_that_is_denied_is_refused(
    internet: Internet, keepline: Keepline, site: Path
) -> None:
    assert site
    script = f"read go; curl -sS http://{NAME}/; curl -sS https://two.test/; true"
    options = (*PROXY, "--deny", "two.test")
    async with keepline.start("sh", "-c", script, options=options) as session:
        with drop(internet.router, Packets(source=CLIENT, destination=SERVER)):
            session.write(b"go\n")
            await session.until(DialHeld)
        done = await session.end()
    assert done.stdout == b"hello"
    assert "CONNECT tunnel failed, response 403" in done.stderr or "403" in done.stderr
    assert "rules bind only those that use it" in done.stderr
    assert done.only(ConnectionDenied).rule == "two.test"


async def test_its_status_and_signals_are_the_commands(keepline: Keepline) -> None:
    assert (await keepline.run("sh", "-c", "exit 7", options=PROXY, check=False)).status == 7
    assert (await keepline.run("no such", options=PROXY, check=False)).status == 127
    async with keepline.start("sh", "-c", "echo on; exec sleep 60", options=PROXY) as session:
        assert await session.readline() == b"on\n"
        session.process.send_signal(signal.SIGTERM)
        assert (await session.end()).status == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    "option", ["--strict", "--publish=8080:80", "--policy-mode=allowlist --allow=a.test"]
)
async def test_what_needs_a_namespace_fails_closed(keepline: Keepline, option: str) -> None:
    done = await keepline.run("echo", "ran", options=(*PROXY, *option.split()), check=False)
    assert (done.status, done.stdout) == (125, b"")
    assert "needs a namespace" in done.stderr


async def test_keepline_proxy_serves_programs_that_are_started_elsewhere(
    keepline: Keepline, site: Path
) -> None:
    assert site
    script = f"""
        {shlex.join(Keepline.argv("proxy"))} > env & proxy=$!
        until grep -q NODE_USE env; do sleep 0.05; done
        unset KEEPLINE_SESSION; set -a; . ./env
        curl -sS http://{NAME}/ && echo
        curl -sS -o /dev/null -w '%{{http_code}}\\n' -x http://127.0.0.1:${{HTTP_PROXY##*:}} http://{NAME}/
        {shlex.join(Keepline.argv("status"))} | grep -c 'go past keepline'
        kill $proxy; wait $proxy; echo $?
    """
    done = await keepline.host.run_process(
        lacking("unshare", "sh", "-c", script), env=keepline.environment, cwd=keepline.folder
    )
    assert done.stdout.decode().split() == ["hello", "407", "1", "0"]
    assert PASSABLE in done.stderr.decode()


@pytest.mark.parametrize("failure", CUTS[:2])
async def test_the_real_agent_loses_an_answer_and_sees_nothing_of_it(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, failure: Failure
) -> None:
    api = Api()
    api.respond = respond
    internet.zone.add(HOST, "A", SERVER)
    tls = over_tls(api, context(internet.authority, HOST))
    await nursery.start(serve, tls, listen(internet.server, SERVER, 443))
    api.script.add(failure, failure, key=KEY)
    ours = ("ANTHROPIC_", "CLAUDE")
    keepline.environment = {
        name: text for name, text in keepline.environment.items() if not name.startswith(ours)
    } | {
        "ANTHROPIC_API_KEY": "not-a-key",
        "ANTHROPIC_CUSTOM_HEADERS": f"x-request-key: {KEY}",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    done = await keepline.run(*claude(), options=PROXY, cwd=keepline.folder)
    assert result(done.stdout) == SAID_LAST, json.loads(done.stdout)
    assert runs_of_the_tool(keepline.folder) == 1
    assert len(done.all(AskedAgain)) == 2
    assert not done.all(RequestLost)
