"""The gateway and certificates, with real programs: whom it trusts, and who does not trust it."""

import json
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from netns import syscalls
from relay.gateway.setup.trust import WELL_KNOWN
from relay.record.events import Distrusted, RequestLost, SessionStarted
from relay.record.kinds import Kind
from relay.record.story.advice import ADVICE
from relay.record.story.telling import REPEAT
from tests.support.command.asking import (
    HOSTS,
    HTTP,
    NAME,
    TLS,
    URL,
    answers,
    ask,
    explained,
    keepline_of,
    other_authority,
    said,
    script,
    serve_api,
)
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.tls import Authority
from tests.support.internet.world import SERVER, Internet

DOORS: Final = pytest.mark.parametrize("door", [TLS, HTTP], ids=["tls", "http"])
STORE: Final = ssl.get_default_verify_paths()
EXTRA: Final = "NODE_EXTRA_CA_CERTS"


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    """Return keepline, whose programs trust the internet's authority, and so does it."""
    return keepline_of(internet, internet.authority)


def base(door: tuple[str, ...]) -> str:
    """Return what the program's URLs begin with; empty for what it is told."""
    return "" if door is HTTP else URL


# Upstream


@DOORS
@pytest.mark.parametrize("program", ["bun", "node"])
async def test_an_upstream_that_nobody_vouches_for_is_a_502_that_says_so(
    internet: Internet,
    nursery: trio.Nursery,
    keepline: Keepline,
    door: tuple[str, ...],
    program: str,
) -> None:
    stranger = other_authority(internet, "stranger")
    api = await serve_api(internet, nursery, authority=stranger)
    done = await keepline.run(*ask(program, "POST", f"{base(door)}/v1/messages"), options=door)

    (answer,) = answers(done)
    assert (answer.status, answer.retry) == (502, "false")
    message = json.loads(answer.text)["error"]["message"]
    reason = f"the certificate of {NAME} is not trusted: unable to get local issuer certificate"
    assert message == f"keepline: {reason}; name its CA in SSL_CERT_FILE, or use --gateway=off"
    assert api.log.asked == []

    lost = done.only(RequestLost)
    assert (lost.cause, lost.resends, lost.saw) == (reason, 0, "status 502")
    name = done.only(SessionStarted).session
    assert done.stderr == (
        "keepline: 1 loss: 0 hidden, 1 visible. What changes it: --gateway=http."
        f" See: keepline explain {name}\n"
    )
    _first, loss, *rest = await explained(keepline)
    assert re.fullmatch(
        rf"\d\d:\d\d:\d\d  VISIBLE  {NAME}:443: the answer to POST /v1/messages was lost"
        rf" \({reason}\); the program saw status 502 with the cause in it",
        loss,
    )
    assert rest == [
        "1 loss: 0 hidden, 1 visible.",
        f"  untrusted: {ADVICE[Kind.UNTRUSTED].text}.",
        REPEAT,
    ]


@DOORS
async def test_a_certificate_for_another_name_is_not_trusted(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, door: tuple[str, ...]
) -> None:
    await serve_api(internet, nursery)
    internet.zone.add("wrong.test", "A", SERVER)
    options = [door[0], "--gateway-hosts=wrong.test"]
    url = "/v1/models" if door is HTTP else "https://wrong.test/v1/models"
    done = await keepline.run(*ask("bun", "GET", url), options=options)
    (answer,) = answers(done)
    assert (answer.status, answer.retry) == (502, "false")
    assert "Hostname mismatch" in answer.text


def in_the_system_store(internet: Internet, authority: Authority) -> dict[str, str]:
    """Add it as update-ca-certificates does: by its hash, in the folder where OpenSSL looks."""
    folder = internet.directory / "store"
    folder.mkdir()
    (folder / "corporate.pem").write_bytes(authority.file.read_bytes())
    internet.client.run([needs("openssl"), "rehash", str(folder)])
    cover(internet, folder, Path(STORE.openssl_capath))
    return {}


def in_ssl_cert_file(_internet: Internet, authority: Authority) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(authority.file)}


def in_node_extra_ca_certs(_internet: Internet, authority: Authority) -> dict[str, str]:
    return {EXTRA: str(authority.file)}


def cover(internet: Internet, what: Path, path: Path) -> None:
    """Let `what` take the place of `path` in the client."""
    real = str(path.resolve())
    internet.client.call(lambda: syscalls.mount(str(what), real, flags=syscalls.MS_BIND))


def hide_stores(internet: Internet) -> None:
    """Leave the client without any authority."""
    empty = internet.directory / "empty"
    empty.mkdir()
    nothing = internet.directory / "nothing"
    nothing.touch()
    for name in {str(Path(name).resolve()) for name in (STORE.openssl_cafile, *WELL_KNOWN)}:
        if Path(name).is_file():
            cover(internet, nothing, Path(name))
    if Path(STORE.openssl_capath).is_dir():
        cover(internet, empty, Path(STORE.openssl_capath))


@DOORS
@pytest.mark.parametrize("named", [in_ssl_cert_file, in_node_extra_ca_certs, in_the_system_store])
async def test_an_authority_that_signs_in_the_apis_place_is_trusted_if_the_system_does(
    internet: Internet,
    nursery: trio.Nursery,
    door: tuple[str, ...],
    named: Callable[[Internet, Authority], dict[str, str]],
) -> None:
    """Such as that of a company's proxy."""
    corporate = other_authority(internet, "corporate")
    api = await serve_api(internet, nursery, authority=corporate)
    keepline = keepline_of(internet)
    keepline.environment |= named(internet, corporate)
    done = await keepline.run(*ask("bun", "POST", f"{base(door)}/v1/messages"), options=door)
    (answer,) = answers(done)
    assert (answer.status, answer.text) == (200, said())
    assert [asked.request.protocol for asked in api.log.asked] == ["h2"]
    assert done.stderr == ""


@pytest.fixture
def distrustful(internet: Internet) -> Keepline:
    """Return keepline where there are no authorities."""
    hide_stores(internet)
    return keepline_of(internet)


LACK: Final = "the gateway trusts nobody: this system has no certificate authorities"


async def test_without_authorities_it_does_not_start_if_asked_for(distrustful: Keepline) -> None:
    for door in (TLS, HTTP):
        done = await distrustful.run("true", options=door, check=False)
        assert (done.status, done.events) == (125, [])
        assert done.stderr == (
            f"keepline: {LACK}\n  try: install ca-certificates, or set SSL_CERT_FILE, or use"
            " --gateway=off\n"
        )


async def test_without_authorities_it_is_off_for_claude(
    internet: Internet, distrustful: Keepline
) -> None:
    claude = script(internet.directory, "claude", "echo runs")
    done = await distrustful.run(str(claude))
    assert done.stdout == b"runs\n"
    assert done.stderr == f"keepline: the gateway is off: {LACK}\n"
    assert done.only(SessionStarted).gateway == ""
    told = (await distrustful.call("doctor")).stdout.decode().splitlines()[0]
    assert told == f"lacks   gateway, for claude: gateway off ({LACK})"


async def test_without_authorities_an_upstream_without_tls_is_asked(
    internet: Internet, nursery: trio.Nursery, distrustful: Keepline
) -> None:
    await serve_api(internet, nursery, plain=(80,))
    own = {"ANTHROPIC_BASE_URL": f"http://{NAME}"}
    done = await distrustful.run(*ask("bun", "GET", "/v1/models"), options=HTTP, env=own)
    assert answers(done)[0].status == 200


async def test_an_ssl_cert_file_that_is_not_there_is_told(
    internet: Internet, keepline: Keepline
) -> None:
    """The program itself may not mind: claude runs without the gateway."""
    missing = {"SSL_CERT_FILE": str(internet.directory / "missing.pem")}
    reason = f"SSL_CERT_FILE={missing['SSL_CERT_FILE']}: No such file or directory"
    done = await keepline.run("true", options=TLS, env=missing, check=False)
    assert (done.status, done.stderr) == (
        125,
        f"keepline: {reason}\n  try: mend or unset SSL_CERT_FILE\n",
    )
    claude = script(internet.directory, "claude", "echo runs")
    done = await keepline.run(str(claude), options=[HOSTS], env=missing)
    assert done.stdout == b"runs\n"
    assert done.stderr == f"keepline: the gateway is off: {reason}\n"


async def test_a_node_extra_ca_certs_that_cannot_be_read_is_told_and_ignored(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    await serve_api(internet, nursery)
    missing = {EXTRA: str(internet.directory / "missing.pem")}
    done = await keepline.run(*ask("bun", "GET", f"{URL}/v1/models"), options=TLS, env=missing)
    assert answers(done)[0].status == 200
    assert done.stderr == (
        f"keepline: {EXTRA}={missing[EXTRA]}: No such file or directory: it is ignored\n"
    )


# The program


def curl(internet: Internet) -> list[str]:
    return [needs("curl"), "-sS", f"{URL}/v1/models"]


def python(internet: Internet) -> list[str]:
    fetch = "import sys; from urllib.request import urlopen; urlopen(sys.argv[1])"
    return [sys.executable, "-I", "-c", fetch, f"{URL}/v1/models"]


def node(internet: Internet) -> list[str]:
    """With the caller's own file in place of the session's."""
    own = f"{EXTRA}={internet.authority.file}"
    return ["env", own, *ask("node", "GET", f"{URL}/v1/models")]


def bun(internet: Internet) -> list[str]:
    own = f"{EXTRA}={internet.authority.file}"
    return ["env", own, *ask("bun", "GET", f"{URL}/v1/models")]


@pytest.mark.parametrize("client", [curl, python, node, bun])
async def test_a_program_that_does_not_know_the_ca_fails_and_that_is_explained(
    internet: Internet,
    nursery: trio.Nursery,
    keepline: Keepline,
    client: Callable[[Internet], list[str]],
) -> None:
    api = await serve_api(internet, nursery)
    done = await keepline.run(*client(internet), options=TLS, check=False)
    told = (done.stdout.decode() + done.stderr).lower()
    assert "certificate" in told or "verify" in told
    assert (api.log.connections, api.log.asked) == (1, []), "dialled for the connect() alone"
    distrusted = done.all(Distrusted)
    assert {event.host for event in distrusted} == {NAME}
    if any(event.is_loss for event in distrusted):  # to close early may have other reasons
        name = done.only(SessionStarted).session
        assert (
            f"0 hidden, {len(distrusted)} visible. What changes it: --gateway=http." in done.stderr
        )
        assert f" See: keepline explain {name}\n" in done.stderr
    else:
        assert client is bun
    after = "for other programs use --gateway=http, or off"
    if client in (curl, python):  # which say by an alert that they refuse it
        after = "the next connections of such programs go past the gateway"
    _first, line, *_rest, last = await explained(keepline)
    assert re.fullmatch(
        rf"\d\d:\d\d:\d\d  VISIBLE  {NAME}:443: a program .*: it does not know the certificate"
        rf" authority that this session has for {NAME}\. It takes it from {EXTRA}; {after}",
        line,
    )
    assert last == REPEAT
