"""Certificates: clients accept them with the CA and not without; no key is left anywhere."""

import contextlib
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trio

from relay.gateway.setup import certificates
from relay.gateway.setup.certificates import VALID_DAYS, CertificateError, Certificates
from relay.gateway.setup.trust import extra_ca_text
from relay.host.programs import SYSTEM
from tests.support.command.programs import needs
from tests.support.inprocess.handshakes import shake_hands

HOST = "api.anthropic.com"
ADDRESS = "192.0.2.1"
LOOPBACK = "127.0.0.1"

Make = Callable[..., Certificates]


@pytest.fixture
def make() -> Iterator[Make]:
    """Yield what makes certificates, whose keys are forgotten at the end."""
    with contextlib.ExitStack() as made:

        def made_for(*hosts: str, permitted: tuple[str, ...] | None = None) -> Certificates:
            openssl = needs("openssl")
            new = certificates.make(hosts, permitted=permitted, openssl=openssl)
            made.callback(new.close)
            return new

        yield made_for


def strict_client(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def memory_files() -> list[str]:
    """List the memory files that this process has open."""
    return sorted(open_memory_files().values())


def open_memory_files() -> dict[int, str]:
    """Map the descriptors of memory files to what they are called."""
    links = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            links[int(entry.name)] = str(entry.readlink())
    return {fd: link for fd, link in links.items() if link.startswith("/memfd:keepline")}


def told(pem: str, *options: str) -> str:
    command = [needs("openssl"), "x509", "-noout", *options]
    return subprocess.run(command, input=pem, text=True, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    "hosts", [(HOST,), (ADDRESS,), (HOST, ADDRESS, "b.example"), ("a_b.example", "host")]
)
def test_each_host_is_accepted_with_the_ca(make: Make, hosts: tuple[str, ...]) -> None:
    made = make(*hosts)
    for host in hosts:
        shake_hands(made.server_context(host), strict_client(made.ca), host)


def test_it_is_not_accepted_without_the_ca(make: Make) -> None:
    made, other = make(HOST), make(HOST)
    for trusted in (ssl.create_default_context(), strict_client(other.ca)):
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            shake_hands(made.server_context(HOST), trusted, HOST)


def test_each_leaf_is_good_for_its_host_alone(make: Make) -> None:
    made = make(HOST, "b.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(made.server_context(HOST), strict_client(made.ca), "b.example")


@pytest.mark.parametrize(
    ("permitted", "host", "reason"),
    [
        (HOST, "other.example", "permitted subtree violation"),
        (HOST, "anthropic.com", "permitted subtree violation"),
        (HOST, ADDRESS, "excluded subtree violation"),
        (ADDRESS, HOST, "permitted subtree violation"),
    ],
)
def test_the_ca_is_good_for_its_hosts_alone(
    make: Make, permitted: str, host: str, reason: str
) -> None:
    made = make(host, permitted=(permitted,))
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        shake_hands(made.server_context(host), ssl.create_default_context(cadata=made.ca), host)


def test_two_sessions_are_trusted_at_once(make: Make) -> None:
    outer, inner = make(HOST), make(HOST)
    both = strict_client(outer.ca + inner.ca)
    for made in (outer, inner):
        shake_hands(made.server_context(HOST), both, HOST)
    assert told(outer.ca, "-subject") != told(inner.ca, "-subject")


def test_a_context_is_made_once_and_speaks_http1(make: Make) -> None:
    made = make(HOST)
    context = made.server_context(HOST)
    assert made.server_context(HOST) is context
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    client = strict_client(made.ca)
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert shake_hands(context, client, HOST).selected_alpn_protocol() == "http/1.1"


def test_what_the_ca_says(make: Make) -> None:
    ca = make(HOST).ca
    text = re.sub(r"\s+", " ", told(ca, "-text"))
    assert "ASN1 OID: prime256v1" in text
    assert "Basic Constraints: critical CA:TRUE, pathlen:0" in text
    assert "Key Usage: critical Certificate Sign X509v3" in text
    assert f"Name Constraints: critical Permitted: DNS:{HOST} Excluded: IP:0.0.0.0/0.0.0.0" in text
    assert "PRIVATE KEY" not in ca


def test_certificates_are_valid_from_now_for_ninety_days(make: Make) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    dates = dict(line.split("=") for line in told(make(HOST).ca, "-dates").splitlines())
    begin, end = (
        datetime.strptime(dates[name], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
        for name in ("notBefore", "notAfter")
    )
    assert before <= begin <= datetime.now(UTC)
    assert end - begin == timedelta(days=VALID_DAYS)


def test_serial_numbers_are_large_and_differ(make: Make) -> None:
    serials = {int(told(make(HOST).ca, "-serial").split("=")[1], 16) for _ in range(3)}
    assert len(serials) == 3
    assert min(serials) > 1 << 64


def test_no_hosts_need_nothing(make: Make) -> None:
    assert make().ca == ""


@pytest.mark.parametrize("host", ["", "API.example", "a b", "a\n[ca]", "a,IP:1.2.3.4", "*.example"])
def test_a_host_that_is_none_is_refused(make: Make, host: str) -> None:
    with pytest.raises(ValueError, match="no name in lower case"):
        make(host)
    assert memory_files() == []


# Keys, and the openssl program.


def test_keys_are_in_memory_and_only_the_leaves_is_kept() -> None:
    made = certificates.make([HOST, "b.example"], openssl=needs("openssl"))
    assert memory_files() == ["/memfd:keepline key (deleted)"]
    context = made.server_context(HOST)
    assert memory_files() == ["/memfd:keepline key (deleted)"]
    made.close()
    assert memory_files() == []
    shake_hands(context, strict_client(made.ca), HOST)


def test_programs_started_later_get_no_key(make: Make) -> None:
    make(HOST)
    listing = "import os; print(*(os.readlink(f'/proc/self/fd/{n}') for n in range(64) if os.path.lexists(f'/proc/self/fd/{n}')))"  # noqa: E501
    child = [sys.executable, "-c", listing]
    assert "memfd" not in subprocess.check_output(child, close_fds=False, text=True)
    (kept,) = open_memory_files()
    assert "memfd:keepline key" in subprocess.check_output(child, pass_fds=[kept], text=True)


def test_nothing_is_written_to_a_file_system(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("RANDFILE", str(tmp_path / "random"))
    monkeypatch.chdir(tmp_path)
    make(HOST, "b.example").server_context(HOST)
    assert list(tmp_path.iterdir()) == []


def script(folder: Path, text: str) -> str:
    """Write an openssl program."""
    path = folder / "openssl"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_openssl_is_started_thrice_and_told_of_memory_alone(tmp_path: Path) -> None:
    record = tmp_path / "record"
    wrapper = script(tmp_path, f'echo "$@" >>{record}\nexec {needs("openssl")} "$@"')
    certificates.make([HOST], openssl=wrapper).close()
    lines = record.read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == ["req", "req", "x509"]
    paths = {word for line in lines for word in line.split() if word.startswith("/")}
    paths = {path for path in paths if not path.startswith("/CN=")}
    assert paths
    assert all(re.fullmatch("/proc/self/fd/[0-9]+", path) for path in paths)


@pytest.mark.parametrize("content", [None, "nonsense\n[", "openssl_conf = x\n[x]\nproviders = y\n"])
def test_the_callers_settings_do_not_disturb(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    settings = tmp_path / "openssl.cnf"
    if content is not None:
        settings.write_text(content)
    for variable in ("OPENSSL_CONF", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(variable, str(settings))
    made = make(HOST)
    shake_hands(made.server_context(HOST), strict_client(made.ca), HOST)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("echo working >&2; echo no such curve >&2; exit 1", "no such curve"),
        ("exit 1", "no certificate came out"),
        ("exit 0", "no certificate came out"),
        ("echo hello", "no certificate came out"),
        ("kill -9 $$", "killed by signal 9"),
        ("printf '\\377' >&2; exit 1", "\ufffd"),
    ],
)
def test_an_openssl_that_fails_is_told(tmp_path: Path, program: str, message: str) -> None:
    openssl = script(tmp_path, program)
    with pytest.raises(CertificateError) as caught:
        certificates.make([HOST], openssl=openssl)
    assert caught.value.cause == f"{openssl}: {message}"
    assert "--gateway=http" in caught.value.next_step
    assert memory_files() == []


def test_an_openssl_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "TIMEOUT", 0.2)
    openssl = script(tmp_path, "exec sleep 600")
    children = Path("/proc/thread-self/children")
    before = children.read_text()
    with pytest.raises(CertificateError, match=r"was not done after 0\.2 s"):
        certificates.make([HOST], openssl=openssl)
    assert memory_files() == []
    assert children.read_text() == before


@pytest.mark.parametrize("mode", [None, 0o644])
def test_an_openssl_that_cannot_be_started_is_told(tmp_path: Path, mode: int | None) -> None:
    openssl = tmp_path / "openssl"
    if mode is not None:
        openssl.touch(mode)
    with pytest.raises(CertificateError) as caught:
        certificates.make([HOST], openssl=str(openssl))
    assert caught.value.cause.startswith(f"{openssl}: ")
    assert memory_files() == []


def test_the_caller_s_path_and_environment_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    script(tmp_path, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "evil.so"))
    openssl = certificates.find()
    assert openssl in {f"{folder}/openssl" for folder in SYSTEM}
    certificates.make([HOST], openssl=openssl or "").close()


# Programs that people use.

FETCH = """
try { console.log(await (await fetch(process.env.URL)).text()); }
catch (error) { console.log("refused:", error.cause?.code ?? error.code); }
"""
PROGRAMS = pytest.mark.parametrize(
    "argv",
    [["node", "--input-type=module", "-e", FETCH], ["bun", "-e", FETCH]],
    ids=["node", "bun"],
)


async def fetched(
    argv: list[str], made: Certificates, host: str, folder: Path, *, ca: str | None = None
) -> str:
    """Let a program fetch a page from `host`; gives what it printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    if ca is not None:
        (folder / "ca.pem").write_text(ca)
        environment["NODE_EXTRA_CA_CERTS"] = str(folder / "ca.pem")
    program = needs(argv[0])

    async def answer(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # refused
            await stream.receive_some()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
            await stream.send_all(head + b"hello")
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_ssl_over_tcp, answer, 0, made.server_context(host))
        (listener,) = await nursery.start(partial(serve, host=LOOPBACK))
        port = listener.transport_listener.socket.getsockname()[1]
        environment["URL"] = f"https://{host}:{port}/"
        done = await trio.run_process([program, *argv[1:]], env=environment, capture_stdout=True)
        nursery.cancel_scope.cancel()
    text: str = done.stdout.decode().strip()
    return text


@PROGRAMS
@pytest.mark.parametrize("host", ["localhost", LOOPBACK])
async def test_node_and_bun_accept_it(
    make: Make, tmp_path: Path, argv: list[str], host: str
) -> None:
    made = make(host)
    assert await fetched(argv, made, host, tmp_path, ca=made.ca) == "hello"


@PROGRAMS
async def test_node_and_bun_refuse_it_without_the_ca(
    make: Make, tmp_path: Path, argv: list[str]
) -> None:
    text = await fetched(argv, make("localhost"), "localhost", tmp_path)
    assert text == "refused: UNABLE_TO_VERIFY_LEAF_SIGNATURE"


@PROGRAMS
@pytest.mark.parametrize(("host", "permitted"), [("localhost", HOST), (LOOPBACK, HOST)])
async def test_node_and_bun_hold_the_ca_to_its_hosts(
    make: Make, tmp_path: Path, argv: list[str], host: str, permitted: str
) -> None:
    made = make(host, permitted=(permitted,))
    text = await fetched(argv, made, host, tmp_path, ca=made.ca)
    assert text.startswith("refused:")
    assert "UNABLE_TO_VERIFY" not in text


@PROGRAMS
async def test_a_broken_certificate_of_the_callers_does_not_hide_the_ca(
    make: Make, tmp_path: Path, argv: list[str]
) -> None:
    made = make("localhost")
    own = tmp_path / "own.pem"
    broken = made.ca.replace("MII", "AAA", 1)
    own.write_text(f"{broken}{make(HOST).ca}{broken}")
    both = extra_ca_text({"NODE_EXTRA_CA_CERTS": str(own)}, made.ca)
    assert await fetched(argv, made, "localhost", tmp_path, ca=both) == "hello"


async def test_curl_accepts_it(make: Make, tmp_path: Path) -> None:
    made = make("localhost")
    ca = tmp_path / "curl.pem"
    ca.write_text(made.ca)
    argv = ["sh", "-c", f'exec {needs("curl")} -sS --cacert {ca} "$URL"']
    assert await fetched(argv, made, "localhost", tmp_path) == "hello"
