"""The gateway and certificates, with real programs: whom it trusts, and who does not trust it."""

import json
import re
import ssl
import sys
from pathlib import Path
from typing import Final

import pytest
import trio

from netns import syscalls
from relay.gateway.trust import WELL_KNOWN
from relay.record.events import Distrusted, RequestLost, SessionStarted
from relay.record.story import ADVICE
from tests.internet.servers.tls import Authority
from tests.internet.world import Internet
from tests.kernel.asking import (
    HOSTS,
    HTTP,
    NAME,
    TLS,
    URL,
    answers,
    ask,
    explained,
    other_authority,
    said,
    script,
    serve_api,
    without,
)
from tests.kernel.keepline import Keepline
from tests.kernel.programs import needs

DOORS: Final = pytest.mark.parametrize("door", [TLS, HTTP], ids=["tls", "http"])
STORE: Final = ssl.get_default_verify_paths()
EXTRA: Final = "NODE_EXTRA_CA_CERTS"


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    """Give keepline, whose programs trust the internet's authority, and so does it."""
    made = Keepline(internet)
    made.environment |= internet.authority.environment()
    made.environment.pop("ANTHROPIC_BASE_URL", None)
    return made


def base(door: tuple[str, ...]) -> str:
    """Give what the program's URLs begin with; empty for what it is told."""
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
    assert (api.log.connections, api.log.asked) == (1, [])

    lost = done.only(RequestLost)
    assert (lost.cause, lost.resends, lost.saw) == (reason, 0, "status 502")
    name = done.only(SessionStarted).session
    assert done.stderr == (
        f"keepline: 1 loss: 0 hidden, 1 visible. See: keepline explain {name}\n"
    )
    _first, loss, *rest = await explained(keepline)
    assert re.fullmatch(
        rf" +\d+\.\d s  VISIBLE  .*: the answer to POST /v1/messages was lost \({reason}\);"
        r" the program saw status 502 with the cause in it",
        loss,
    )
    assert rest == ["1 loss: 0 hidden, 1 visible.", ADVICE]


@DOORS
async def test_a_certificate_for_another_name_is_not_trusted(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, door: tuple[str, ...]
) -> None:
    await serve_api(internet, nursery)
    internet.zone.add("wrong.test", "A", *internet.zone_of_other_addresses())
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


def in_the_systems_bundle(internet: Internet, authority: Authority) -> dict[str, str]:
    """Add it to the one file of a system whose Python looks elsewhere."""
    hide_stores(internet)
    known = [Path(name) for name in WELL_KNOWN if Path(name).exists()]
    cover(internet, authority.file, known[0])
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
