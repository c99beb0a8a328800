"""Rules in real sessions: presets are enough for real programs, and a list is learned from one.

The servers carry the names of the presets, at an address that may be any host's.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import socket
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import dns.message
import dns.name
import dns.rcode
import pytest
import trio

from relay.policy import presets
from relay.policy.policy import Preset
from relay.record.events import ConnectionDenied, NameRefused
from tests.kernel.test_clients import head, make_repository, serve_git
from tests.support.command import program as at
from tests.support.command.driver import inside
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.http import Exchange
from tests.support.internet.servers.listening import Handler, listen, over_tls, serve
from tests.support.internet.world import NAMES, SERVER, Internet

PUBLIC: Final = "11.0.0.10"
"""The others of the small internet are for documentation: an allowlist opens them by rule alone."""


@dataclass(frozen=True)
class Files:
    """A site of some files, by host and path."""

    content: Mapping[str, bytes]

    async def __call__(self, stream: trio.abc.Stream) -> None:
        """Serve one connection."""
        exchange = Exchange(stream)
        while (request := await exchange.read_request()) is not None:
            body = self.content.get(request.headers["host"] + request.path)
            status = "404 Not Found" if body is None else "200 OK"
            kind = "text/html" if request.path.endswith("/") else "application/json"
            body = body or b""
            await exchange.send_head(
                status, f"Content-Type: {kind}", f"Content-Length: {len(body)}"
            )
            await exchange.send(body)


def hosts(preset: Preset) -> list[str]:
    """Return the names of a preset, in order."""
    return [rule.text.partition(":")[0] for rule in presets.load(preset).allow]


@pytest.fixture
def keepline(internet: Internet, tmp_path: Path) -> Keepline:
    """Return keepline, in an empty home; its programs trust the internet's authority."""
    made = Keepline(internet)
    ours = ("PIP_", "NPM_", "npm_", "GIT_")
    kept = {name: text for name, text in made.environment.items() if not name.startswith(ours)}
    made.environment = {
        **kept,
        **internet.authority.environment(),
        "HOME": str(tmp_path),
        "PIP_CERT": str(internet.authority.file),
        "PIP_CONFIG_FILE": os.devnull,
        "NPM_CONFIG_GLOBALCONFIG": os.devnull,
    }
    return made


async def publish(
    internet: Internet, nursery: trio.Nursery, handler: Handler, *names: str, address: str = PUBLIC
) -> None:
    """Serve names over TLS, at an address of the server's."""
    if address == PUBLIC:
        internet.backbone.right.add_address(f"{PUBLIC}/32")
        internet.backbone.left.add_route(f"{PUBLIC}/32", SERVER)
    for name in names:
        internet.zone.add(name, "A", address)
    context = internet.authority.server_context(*names)
    listener = listen(internet.server, address, 443)
    await nursery.start(serve, over_tls(handler, context), listener)


def denied(done: Done) -> list[str]:
    """Return what was; git asks for the host's own name too, to sign what it never commits."""
    names = {event.name for event in done.all(NameRefused)} - {socket.gethostname()}
    return [*(event.rule for event in done.all(ConnectionDenied)), *sorted(names)]


def curl(url: str) -> list[str]:
    return [needs("curl"), "-sS", "--fail", url]


async def test_npm_installs_with_its_preset(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, tmp_path: Path
) -> None:
    (registry,) = hosts("npm")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        text = json.dumps({"name": "small", "version": "1.0.0"}).encode()
        member = tarfile.TarInfo("package/package.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    packed = gzip.compress(made.getvalue())
    digest = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    dist = {"tarball": f"https://{registry}/small-1.0.0.tgz", "integrity": f"sha512-{digest}"}
    version = {"name": "small", "version": "1.0.0", "dist": dist}
    about = {
        "name": "small",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version},
    }
    site = Files({
        f"{registry}/small": json.dumps(about).encode(),
        f"{registry}/small-1.0.0.tgz": packed,
    })  # fmt: skip
    await publish(internet, nursery, site, registry)
    words = ("install", "small", "--no-audit", "--no-fund", f"--registry=https://{registry}/")
    done = await keepline.run(needs("npm"), *words, options=["--presets=npm"], cwd=tmp_path)
    assert (tmp_path / "node_modules/small/package.json").exists()
    assert denied(done) == []


async def test_pip_downloads_with_its_preset(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, tmp_path: Path
) -> None:
    index, files = hosts("pypi")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        info = "small-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    name = "small-1.0-py3-none-any.whl"
    page = f'<!DOCTYPE html><html><body><a href="https://{files}/{name}">{name}</a></body></html>'
    site = Files({f"{index}/simple/small/": page.encode(), f"{files}/{name}": made.getvalue()})
    await publish(internet, nursery, site, index, files)
    words = ("--no-cache-dir", "--disable-pip-version-check", "--no-deps")
    done = await keepline.run(
        *(sys.executable, "-m", "pip", "download", *words),
        *(f"--index-url=https://{index}/simple", "--dest", str(tmp_path), "small"),
        options=["--presets=pypi"],
        cwd=tmp_path,
    )
    assert (tmp_path / name).exists()
    assert denied(done) == []


async def test_git_clones_with_its_preset(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, tmp_path: Path
) -> None:
    host = hosts("github")[0]
    origin = await make_repository(tmp_path / "origin")
    await publish(internet, nursery, partial(serve_git, tmp_path), host)
    clone = tmp_path / "clone"
    done = await keepline.run(
        *(needs("git"), "clone", "-q", f"https://{host}/origin", str(clone)),
        options=["--presets=github"],
    )
    assert await head(clone) == await head(origin)
    assert denied(done) == []


async def test_a_preset_leads_to_no_private_address(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    (registry,) = hosts("npm")
    await publish(internet, nursery, Files({f"{registry}/": b"in"}), registry, address=SERVER)
    url = f"https://{registry}/"
    assert (await keepline.run(*curl(url))).stdout == b"in"
    done = await keepline.run(*curl(url), options=["--presets=npm"], check=False)
    assert done.status != 0
    named = await keepline.run(*curl(url), options=["--presets=npm", f"--allow={registry}"])
    assert named.stdout == b"in"


async def test_private_addresses_are_denied_where_that_is_asked_for(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    site = Files({"server.test/": b"in", "v4.test/": b"in"})
    await publish(internet, nursery, site, "server.test", "v4.test", address=SERVER)
    url = "https://server.test/"
    assert (await keepline.run(*curl(url))).stdout == b"in"
    rule = "an address in 203.0.113.0/24 is special (documentation, RFC 5737), and no rule opens it"
    for option in ("--private=deny", "--allow=*", "--allow=0.0.0.0/0"):
        done = await keepline.run(*curl(url), options=[option], check=False)
        assert done.status != 0
        assert {event.rule for event in done.all(ConnectionDenied)} == {rule}
    keepline.config.write_text(
        '[policy]\nmode = "open"\nprivate = "deny"\nallow = ["server.test"]\n'
    )
    assert (await keepline.run(*curl(url))).stdout == b"in"
    other = await keepline.run(*curl("https://v4.test/"), check=False)
    assert {event.rule for event in other.all(ConnectionDenied)} == {rule}


@pytest.mark.parametrize("option", ["--deny=*.evil.test,b\u00fccher.test.", "--allow=good.test"])
async def test_no_spelling_of_a_denied_name_leaves(
    internet: Internet, keepline: Keepline, option: str
) -> None:
    spelled = [
        *((label, b"evil", b"test") for label in (b"$", b"\1", b"a.b", b"\\", b"\xff", b'"', b" ")),
        (b"www", b"EVIL", b"Test"),
        (b"xn--bcher-kva", b"test"),
        (b"XN--Bcher-KVA", b"TEST"),
    ]
    async with inside(keepline, [option]) as program:
        for labels in spelled:
            query = dns.message.make_query(dns.name.Name([*labels, b""]), "TXT").to_wire()
            answer = dns.message.from_wire(await program(at.ask, NAMES, query))
            assert answer.rcode() == dns.rcode.REFUSED, labels
        done = await program.session.end()
    assert sum(event.count for event in done.all(NameRefused)) >= len(spelled)
    assert internet.zone.queries == []


async def test_a_list_that_is_learned_is_enough(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    """Names that a connection asks for, and is not made to, are on it too."""
    pages = {"server.test/": b"one", "v4.test/": b"two", "front.test/": b"three", "two.test/": b""}
    names = ("server.test", "v4.test", "front.test")
    await publish(internet, nursery, Files(pages), *names, address=SERVER)
    to = "--connect-to front.test:443:server.test:443"
    urls = ("https://server.test/", "https://v4.test/", f"{to} https://front.test/")
    command = ["sh", "-c", " && ".join(map(" ".join, map(curl, urls)))]
    opened = await keepline.run(*command)
    assert opened.stdout == b"onetwothree"
    learned = await keepline.call("policy", "learn", "latest")
    assert learned.status == 0
    assert '"server.test:443",' in learned.stdout.decode()
    keepline.config.write_bytes(learned.stdout)
    again = await keepline.run(*command)
    assert again.stdout == b"onetwothree"
    assert denied(again) == []
    other = await keepline.run(*curl("https://two.test/"), check=False)
    assert {event.rule for event in other.all(NameRefused)} == {"no allow rule matches"}


async def test_the_file_of_a_project_tightens(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, tmp_path: Path
) -> None:
    await publish(internet, nursery, Files({"server.test/": b"in"}), "server.test", address=SERVER)
    url = "https://server.test/"
    project = tmp_path / ".keepline.toml"
    project.write_text('[policy]\ndeny = [{ host = "*.test", reason = "not from here" }]\n')
    done = await keepline.run(
        *curl(url), options=["--allow=server.test"], cwd=tmp_path, check=False
    )
    assert done.status != 0
    assert {event.rule for event in done.all(NameRefused)} == {"*.test"}
    why = await keepline.call("policy", "why", "server.test", cwd=tmp_path)
    assert (why.status, why.stdout.decode().splitlines()) == (
        1,
        [
            "server.test:443: denied",
            f"  by the rule deny *.test (not from here), {project}:2",
            f"  to allow it, take that rule out of {project}:2",
        ],
    )
    project.write_text("keepidle = 3\n")
    mistaken = await keepline.call("run", "true", cwd=tmp_path)
    assert mistaken.status == 125
    assert f"{project}:1: keepidle: the file of a project can only tighten" in mistaken.stderr


async def test_presets_are_listed(keepline: Keepline) -> None:
    listed = await keepline.call("policy", "presets")
    names = [
        line.partition(":")[0] for line in listed.stdout.decode().splitlines() if line[0] != " "
    ]
    assert names == list(presets.PRESETS)
