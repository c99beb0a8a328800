"""What the gateway trusts is what it was when the command started."""

import os
import shutil
import ssl
from pathlib import Path

import pytest

from relay.gateway.dialect import Identity
from relay.gateway.setup import trust
from relay.gateway.setup.trust import TrustError, client_context, copied
from tests.support.internet.servers.tls import Authority

IDENTITY = Identity("CERT", "KEY", "PASSPHRASE")


def subjects(environment: dict[str, str]) -> int:
    """Count the authorities that are trusted."""
    return len(client_context(environment).get_ca_certs())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def replaced_by_fifos(folder: Path) -> None:
    """Do what a command might."""
    for file in list(folder.iterdir()):
        if file.is_file():
            file.unlink()
            os.mkfifo(file)


def test_files_may_change_once_they_are_copied(authority: Authority, tmp_path: Path) -> None:
    store, extra, key = tmp_path / "store", tmp_path / "extra", tmp_path / "key"
    path = next(iter(authority.environment().values()))
    for copy in (store, extra, key):
        shutil.copy(path, copy)
    environment = {
        "SSL_CERT_FILE": str(store),
        "NODE_EXTRA_CA_CERTS": str(extra),
        "SSL_CERT_DIR": "/nowhere",
        "KEY": str(key),
        "CERT": str(tmp_path / "missing"),
        "OTHER": "stays",
    }
    before = dict(environment)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with copied(environment, [IDENTITY]):
        replaced_by_fifos(tmp_path)
        assert subjects(environment) == 1
        assert environment["OTHER"] == "stays"
        assert "CERT" not in environment
        assert Path(environment["KEY"]).read_text().startswith("-----BEGIN")
        assert environment["SSL_CERT_FILE"].startswith("/proc/self/fd/")
    assert environment == before
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.parametrize("has_file", [True, False])
def test_a_folder_may_change_once_it_is_copied(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_file: bool
) -> None:
    """Of two files with one certificate it is trusted once; what is no certificate is left out."""
    monkeypatch.setattr(ssl, "get_default_verify_paths", NoStore)
    monkeypatch.setattr(trust, "WELL_KNOWN", [])
    folder, other = tmp_path / "folder", tmp_path / "other"
    for each in (folder, other):
        each.mkdir()
    one = next(iter(authority.environment().values()))
    two = next(iter(Authority(other).environment().values()))
    for name in ("0a0b0c0d.0", "0a0b0c0d.1"):
        shutil.copy(one, folder / name)
    (folder / "0a0b0c0d.2").write_text("-----BEGIN CERTIFICATE-----\nx\n")
    os.mkfifo(folder / "0a0b0c0d.3")
    environment = {"SSL_CERT_DIR": f"/nowhere:{folder}"} | (
        {"SSL_CERT_FILE": two} if has_file else {}
    )
    before = dict(environment)
    with copied(environment, []):
        shutil.copy(two, folder / "0a0b0c0d.4")
        replaced_by_fifos(folder)
        assert subjects(environment) == 1 + has_file
    assert environment == before


def test_the_system_s_store_is_copied_too(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    shutil.copy(next(iter(authority.environment().values())), store)
    monkeypatch.setattr(trust, "WELL_KNOWN", [str(store)])
    monkeypatch.setattr(ssl, "get_default_verify_paths", NoStore)
    environment: dict[str, str] = {}
    with copied(environment, []):
        replaced_by_fifos(tmp_path)
        assert subjects(environment) == 1
    assert environment == {}


class NoStore:
    openssl_cafile = "/nowhere/cert.pem"
    openssl_capath = "/nowhere"


@pytest.mark.parametrize("is_named", [False, True])
def test_a_broken_store_is_told_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    store = tmp_path / "store"
    store.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
    monkeypatch.setattr(trust, "WELL_KNOWN", [str(store)])
    monkeypatch.setattr(ssl, "get_default_verify_paths", NoStore)
    environment = {"SSL_CERT_FILE": str(store)} if is_named else {}
    with copied(environment, []), pytest.raises(TrustError) as caught:
        client_context(environment)
    name = "SSL_CERT_FILE=" if is_named else ""
    assert caught.value.cause == f"{name}{store}: a certificate in it is broken"
