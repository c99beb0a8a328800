"""Trust: what the program trusts, the gateway trusts too, and what it refuses has its reason."""

import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from relay.gateway.dialect import Identity
from relay.gateway.setup import trust
from relay.gateway.setup.trust import TrustError, client_context, extra_ca_text, roots
from tests.support.command.programs import needs
from tests.support.inprocess.handshakes import shake_hands
from tests.support.internet.servers.tls import Authority

HOST = "api.example"
NOWHERE = "/nonexistent"

Refused = ssl.SSLCertVerificationError


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority.issue_cert(HOST))


@pytest.fixture
def file(authority: trustme.CA, tmp_path: Path) -> str:
    return written(tmp_path / "authority.pem", authority)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what says where this system's store is; at first, nowhere."""

    def set_to(file: str = NOWHERE, folder: str = NOWHERE, well_known: str = NOWHERE) -> None:
        paths = ssl.DefaultVerifyPaths(None, None, trust.FILE, file, trust.FOLDER, folder)  # type: ignore[arg-type]
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
        monkeypatch.setattr(trust, "WELL_KNOWN", (NOWHERE, well_known))

    set_to()
    return set_to


def written(path: Path, *authorities: trustme.CA) -> str:
    path.write_bytes(b"".join(authority.cert_pem.bytes() for authority in authorities))
    return str(path)


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def hashed(folder: Path, *authorities: trustme.CA) -> str:
    """Make a folder in which OpenSSL finds these."""
    folder.mkdir()
    for number, authority in enumerate(authorities):
        written(folder / f"{number}.pem", authority)
    subprocess.run([needs("openssl"), "rehash", str(folder)], check=True)
    return str(folder)


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


# Where trust comes from.


def test_by_ssl_cert_file(system: Callable[..., None], server: ssl.SSLContext, file: str) -> None:
    environment = {"SSL_CERT_FILE": file}
    shake_hands(server, client_context(environment), HOST)
    assert roots(environment) == [f"SSL_CERT_FILE={file}"]


def test_by_ssl_cert_dir(
    system: Callable[..., None], authority: trustme.CA, server: ssl.SSLContext, tmp_path: Path
) -> None:
    first, second = hashed(tmp_path / "a", trustme.CA()), hashed(tmp_path / "b", authority)
    environment = {"SSL_CERT_DIR": f"{NOWHERE}:{first}:{second}"}
    shake_hands(server, client_context(environment), HOST)
    assert roots(environment) == [f"SSL_CERT_DIR={first}:{second}"]


def test_by_node_extra_ca_certs(
    system: Callable[..., None], server: ssl.SSLContext, file: str
) -> None:
    environment = {"NODE_EXTRA_CA_CERTS": file}
    shake_hands(server, client_context(environment), HOST)
    assert roots(environment) == [f"NODE_EXTRA_CA_CERTS={file}"]


def test_by_all_at_once(
    system: Callable[..., None], server: ssl.SSLContext, file: str, tmp_path: Path
) -> None:
    others = [trustme.CA() for _ in range(3)]
    environment = {
        "SSL_CERT_FILE": written(tmp_path / "other.pem", others[0]),
        "SSL_CERT_DIR": hashed(tmp_path / "folder", others[1]),
        "NODE_EXTRA_CA_CERTS": written(tmp_path / "extra.pem", others[2], others[0]),
    }
    context = client_context(environment)
    for other in others:
        shake_hands(serving(other.issue_cert(HOST)), context, HOST)
    with pytest.raises(Refused):
        shake_hands(server, context, HOST)
    assert [place.partition("=")[0] for place in roots(environment)] == list(environment)


def test_one_file_for_both_is_read_once(
    system: Callable[..., None],
    server: ssl.SSLContext,
    file: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {"SSL_CERT_FILE": file, "NODE_EXTRA_CA_CERTS": file}
    loaded = []

    class Noting(ssl.SSLContext):
        def load_verify_locations(self, *what: Any, **by_name: Any) -> None:
            loaded.append((what, by_name))
            super().load_verify_locations(*what, **by_name)

    monkeypatch.setattr(trust, "tls", SimpleNamespace(context=Noting))
    context = client_context(environment)
    assert loaded == [((), {"cafile": file})]
    shake_hands(server, context, HOST)


@pytest.mark.parametrize("place", ["file", "well_known"])
def test_by_the_systems_file(
    system: Callable[..., None], server: ssl.SSLContext, file: str, place: str
) -> None:
    system(**{place: file})
    for environment in ({}, {"SSL_CERT_FILE": "", "SSL_CERT_DIR": "", "NODE_EXTRA_CA_CERTS": ""}):
        shake_hands(server, client_context(environment), HOST)
        assert roots(environment) == [file]


def test_by_the_systems_folder(
    system: Callable[..., None], authority: trustme.CA, server: ssl.SSLContext, tmp_path: Path
) -> None:
    folder = hashed(tmp_path / "folder", authority)
    system(folder=folder, well_known=written(tmp_path / "not read.pem", trustme.CA()))
    shake_hands(server, client_context({}), HOST)
    assert roots({}) == [folder]


def test_this_systems_own_store_is_found() -> None:
    assert bool(roots({})) == any(Path(path).exists() for path in trust.WELL_KNOWN)


def test_what_is_named_stands_in_for_the_systems(
    system: Callable[..., None],
    authority: trustme.CA,
    server: ssl.SSLContext,
    file: str,
    tmp_path: Path,
) -> None:
    other = written(tmp_path / "other.pem", trustme.CA())
    system(file=file)
    with pytest.raises(Refused):
        shake_hands(server, client_context({"SSL_CERT_FILE": other}), HOST)
    shake_hands(server, client_context({"SSL_CERT_DIR": NOWHERE}), HOST)
    system(folder=hashed(tmp_path / "folder", authority))
    with pytest.raises(Refused):
        shake_hands(server, client_context({"SSL_CERT_DIR": NOWHERE}), HOST)
    shake_hands(server, client_context({"SSL_CERT_FILE": other}), HOST)
    system(well_known=file)
    assert roots({"SSL_CERT_DIR": NOWHERE}) == []


def test_the_environment_is_the_one_given(
    system: Callable[..., None], server: ssl.SSLContext, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.setenv(variable, file)
    with pytest.raises(Refused):
        shake_hands(server, client_context({}), HOST)
    assert roots({}) == []


def test_without_any_store_nothing_is_trusted(
    system: Callable[..., None], server: ssl.SSLContext, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("none\n")
    system(file=str(empty), folder=str(tmp_path), well_known=str(tmp_path))
    assert roots({}) == []
    with pytest.raises(Refused, match="unable to get local issuer certificate"):
        shake_hands(server, client_context({}), HOST)


# What is refused.


def expired(authority: trustme.CA) -> ssl.SSLContext:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return serving(
        authority.issue_cert(HOST, not_before=yesterday - timedelta(days=9), not_after=yesterday)
    )


def self_signed(authority: trustme.CA) -> ssl.SSLContext:
    own = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with own.cert_pem.tempfile() as certificate, own.private_key_pem.tempfile() as key:
        context.load_cert_chain(certificate, key)
    return context


def unknown(authority: trustme.CA) -> ssl.SSLContext:
    return serving(trustme.CA().issue_cert(HOST))


def for_another(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority.issue_cert("other.example"))


@pytest.mark.parametrize(
    ("make", "name", "reason"),
    [
        (expired, HOST, "certificate has expired"),
        (self_signed, HOST, "self-signed certificate"),
        (unknown, HOST, "unable to get local issuer certificate"),
        (for_another, HOST, f"Hostname mismatch, certificate is not valid for '{HOST}'"),
        (for_another, "192.0.2.1", "IP address mismatch"),
    ],
)
def test_a_refusal_names_the_reason(
    authority: trustme.CA,
    file: str,
    make: Callable[[trustme.CA], ssl.SSLContext],
    name: str,
    reason: str,
) -> None:
    with pytest.raises(Refused) as caught:
        shake_hands(make(authority), client_context({"SSL_CERT_FILE": file}), name)
    assert reason in caught.value.verify_message


def test_an_address_may_have_a_certificate(authority: trustme.CA, file: str) -> None:
    server = serving(authority.issue_cert("192.0.2.1"))
    shake_hands(server, client_context({"SSL_CERT_FILE": file}), "192.0.2.1")


def test_tls_before_1_2_is_refused(file: str) -> None:
    context = client_context({"SSL_CERT_FILE": file})
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("server_speaks", "wanted", "chosen"),
    [
        (["h2", "http/1.1"], trust.ALPN, "h2"),
        (["http/1.1"], trust.ALPN, "http/1.1"),
        (["h2", "http/1.1"], ["http/1.1"], "http/1.1"),
    ],
)
def test_protocols(
    authority: trustme.CA, file: str, server_speaks: list[str], wanted: list[str], chosen: str
) -> None:
    server = serving(authority.issue_cert(HOST))
    server.set_alpn_protocols(server_speaks)
    client = client_context({"SSL_CERT_FILE": file}, alpn=wanted)
    assert shake_hands(server, client, HOST).selected_alpn_protocol() == chosen


# Files that cannot be used.

BROKEN = "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n"
CUT = "-----BEGIN CERTIFICATE-----\nMIIBAAAA\n"


@pytest.mark.parametrize("ask", [roots, client_context])
@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "No such file or directory"), ("", "no certificate"), ("a\n", "no certificate")],
)
def test_an_ssl_cert_file_without_certificates_is_told(
    tmp_path: Path, ask: Callable[[dict[str, str]], object], text: str | None, reason: str
) -> None:
    path = tmp_path / "store.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TrustError) as caught:
        ask({"SSL_CERT_FILE": str(path)})
    assert caught.value.cause.startswith(f"SSL_CERT_FILE={path}: ")
    assert reason in caught.value.cause
    assert "SSL_CERT_FILE" in caught.value.next_step


def test_a_folder_is_no_ssl_cert_file(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="Is a directory"):
        client_context({"SSL_CERT_FILE": str(tmp_path)})


@pytest.mark.parametrize("text", [BROKEN, CUT])
def test_a_broken_certificate_in_a_store_is_told(
    system: Callable[..., None], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "store.pem"
    path.write_text(text)
    with pytest.raises(TrustError, match="broken") as caught:
        client_context({"SSL_CERT_FILE": str(path)})
    assert caught.value.cause.startswith(f"SSL_CERT_FILE={path}: ")
    system(file=str(path))
    with pytest.raises(TrustError, match="broken") as caught:
        client_context({})
    assert caught.value.cause.startswith(f"{path}: ")


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file or directory: it is ignored"),
        ("", "there is no certificate in it"),
        ("-----BEGIN PRIVATE KEY-----\n", "there is no certificate in it"),
    ],
)
def test_extra_certificates_that_cannot_be_read_are_noted(
    server: ssl.SSLContext, file: str, tmp_path: Path, text: str | None, reason: str
) -> None:
    path = tmp_path / "extra.pem"
    if text is not None:
        path.write_text(text)
    environment = {"SSL_CERT_FILE": file, "NODE_EXTRA_CA_CERTS": str(path)}
    notes: list[str] = []
    shake_hands(server, client_context(environment, warn=notes.append), HOST)
    assert extra_ca_text(environment, "CA\n", warn=notes.append) == "CA\n"
    assert notes == [f"NODE_EXTRA_CA_CERTS={path}: {reason}"] * 2
    assert roots(environment) == [f"SSL_CERT_FILE={file}"]


# What the program gets.


def test_the_program_gets_its_own_extra_certificates_too(
    authority: trustme.CA, tmp_path: Path
) -> None:
    session, other = trustme.CA(), trustme.CA()
    path = tmp_path / "extra.pem"
    secret = authority.private_key_pem.bytes()
    comment = "# F\u0151tan\u00fas\u00edtv\u00e1ny\r\n".encode()
    crlf = other.cert_pem.bytes().replace(b"\n", b"\r\n")
    path.write_bytes(comment + secret + authority.cert_pem.bytes() + b"\xff\n" + crlf + comment)
    notes: list[str] = []
    text = extra_ca_text({"NODE_EXTRA_CA_CERTS": str(path)}, pem(session), warn=notes.append)
    assert notes == []
    assert text.startswith(pem(session))
    assert "PRIVATE" not in text
    assert text.isascii()
    for each in (session, authority, other):
        context = ssl.create_default_context(cadata=text)
        shake_hands(serving(each.issue_cert(HOST)), context, HOST)


def test_it_gets_the_sessions_alone_where_it_had_none() -> None:
    assert extra_ca_text({}, "CA\n") == "CA\n"
    assert extra_ca_text({"NODE_EXTRA_CA_CERTS": ""}, "CA\n") == "CA\n"


def test_broken_ones_are_left_out(authority: trustme.CA, tmp_path: Path) -> None:
    session = trustme.CA()
    path = tmp_path / "extra.pem"
    not_ascii = "-----BEGIN CERTIFICATE-----\nMII\u00e9\n-----END CERTIFICATE-----\n"
    path.write_text(BROKEN + CUT + pem(authority) + not_ascii + CUT)
    notes: list[str] = []
    text = extra_ca_text({"NODE_EXTRA_CA_CERTS": str(path)}, pem(session), warn=notes.append)
    assert text == pem(session) + pem(authority)
    assert notes == [f"NODE_EXTRA_CA_CERTS={path}: 4 of its certificates cannot be read"]


@pytest.mark.parametrize(("told", "is_verified"), [("0", False), ("1", True), ("", True)])
def test_who_need_not_be_verified_is_not(
    system: Callable[..., None], told: str, is_verified: bool
) -> None:
    context = client_context({"NODE_TLS_REJECT_UNAUTHORIZED": told})
    assert context.verify_mode == (ssl.CERT_REQUIRED if is_verified else ssl.CERT_NONE)
    assert context.check_hostname is is_verified


IDENTITY = Identity("CERT", "KEY", "PASSPHRASE")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"CERT": ""}, ""),
        ({"CERT": NOWHERE}, "No such file or directory"),
        ({"KEY": NOWHERE}, "No such file or directory"),
        ({"KEY": ""}, "no key in it, or not with this passphrase"),
        ({"KEY": "other.key"}, "key values mismatch"),
        ({"PASSPHRASE": "wrong"}, "no key in it, or not with this passphrase"),
        ({"PASSPHRASE": ""}, "no key in it, or not with this passphrase"),
        ({"PASSPHRASE": "x" * 2000}, "password cannot be longer than 1024 bytes"),
    ],
    ids=str,
)
def test_a_certificate_of_our_own_that_cannot_be_used_is_told(
    changed: dict[str, str], reason: str, tmp_path: Path
) -> None:
    """Nobody is asked for its passphrase: that would be on the terminal, and wait for ever."""
    made = Authority(tmp_path).identity(tmp_path, "a secret")
    other = trustme.CA().issue_cert(HOST).private_key_pem
    other.write_to_path(str(tmp_path / "other.key"))
    environment = dict(zip(IDENTITY, made.values(), strict=True))
    environment |= {
        name: text.replace("other", f"{tmp_path}/other") for name, text in changed.items()
    }
    told: list[str] = []
    trust.check_identity(environment, IDENTITY, told.append)
    if not reason:
        assert not told
        return
    (line,) = told
    assert reason in line
    assert line.startswith(f"CERT={environment['CERT']}")
    assert line.endswith(": servers that ask for a certificate get none")
    assert "a secret" not in line
