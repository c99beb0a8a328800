"""A CA for this session, valid for the gateway's hosts alone, and a leaf for each, by openssl.

Keys never touch a file system: they live in memory files, memfd_create(2), and the CA's is gone
before a program learns of the CA. What is used of openssl is in OpenSSL 1.1.1; its own settings
are not read.
"""

import os
import re
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from netns.errors import KeeplineError
from relay import tls
from relay.addresses import is_ipv4
from relay.descriptors import SPARE
from relay.gateway.setup.memory import Memory
from relay.host import programs

VALID_DAYS: Final = 90
TIMEOUT: Final = 10.0
"""Seconds for all of openssl's work, which takes 0.02."""

_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_NO_SETTINGS: Final = dict.fromkeys(("OPENSSL_CONF", "SSL_CERT_DIR", "SSL_CERT_FILE"), os.devnull)
"""Its environment: no settings, and no authorities either, for `openssl x509` would read them all,
in 20 ms. The caller's may name libraries and engines."""

_NEW_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS: Final = ("-days", str(VALID_DAYS), "-sha256")


class CertificateError(KeeplineError):
    """The certificates could not be made."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause, "install or mend openssl, or use --gateway=http or --gateway=off")


_Arguments = Sequence[str | Memory]


@dataclass(frozen=True, eq=False)
class Certificates:
    """The CA of a session and what its servers need."""

    ca: str
    """The CA's certificate, PEM: not a secret. Empty without hosts."""
    _leaves: Mapping[str, str]
    _key: Memory
    """All leaves share one key, which never leaves this process."""
    _contexts: dict[str, "ssl.SSLContext"] = field(default_factory=dict)

    def server_context(self, host: str) -> "ssl.SSLContext":
        """Return the context of a server that is `host`: TLS 1.2 or later, HTTP/1.1.

        Raises KeyError for a host that was not among those of make().
        """
        if host not in self._contexts:
            context = tls.context(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["http/1.1"])
            with SPARE.lent(), Memory("leaf", self._leaves[host]) as chain:
                context.load_cert_chain(chain.path, self._key.path)
            self._contexts[host] = context
        return self._contexts[host]

    def close(self) -> None:
        """Free the key; contexts that were returned stay valid."""
        os.close(self._key.fd)


def find() -> str | None:
    """Return the path of the system's openssl program; None if there is none."""
    return programs.find("openssl", os.environ.get("PATH", os.defpath))


def make(
    hosts: Sequence[str], *, openssl: str, permitted: Sequence[str] | None = None
) -> Certificates:
    """Make a CA and a leaf for each host, a name or a dotted IPv4 address; takes about 15 ms.

    The CA is valid for `permitted`, by default the hosts. Raises CertificateError if `openssl`
    cannot be run, fails, or takes longer than TIMEOUT.
    """
    try:
        with ExitStack() as stack:
            key = stack.enter_context(Memory("key"))
            ca, leaves = _signed(hosts, _settings(hosts, permitted or hosts), key, openssl)
            stack.pop_all()
    except OSError as error:
        raise CertificateError(f"{error.filename or openssl}: {error.strerror}") from error
    return Certificates(ca, dict(zip(hosts, leaves, strict=True)), key)


def _signed(
    hosts: Sequence[str], settings: str, key: Memory, openssl: str
) -> tuple[str, list[str]]:
    """Make the CA, fill `key`, and sign a leaf for each host; the CA's own key is then gone."""
    if not hosts:
        return "", []
    run = _Openssl(openssl)
    with Memory("settings", settings) as config, Memory("CA key") as ca_key:
        ca, request = run(_ca(config, ca_key), _request(config, key))
        with Memory("CA", ca) as issuer, Memory("request", request) as asked:
            sign = ("-in", asked, "-CA", issuer, "-CAkey", ca_key, "-extfile", config)
            return ca, run(*(_leaf(number, sign) for number in range(len(hosts))))


def _ca(config: Memory, key: Memory) -> _Arguments:
    """Return the arguments that make a key and a certificate signed with it.

    The subject differs from session to session: a program in a session that runs within another's
    namespace knows both authorities, and must not take one for the other.
    """
    name = f"/CN=keepline session CA {os.urandom(4).hex()}"
    new = ("req", "-x509", *_NEW_KEY, "-keyout", key, "-config", config)
    return (*new, "-extensions", "ca", "-subj", name, *_serial(), *_DAYS)


def _request(config: Memory, key: Memory) -> _Arguments:
    """Return the arguments that make the key of all leaves and a request for a certificate."""
    return ("req", "-new", *_NEW_KEY, "-keyout", key, "-config", config, "-sha256")


def _leaf(number: int, sign: _Arguments) -> _Arguments:
    """Return the arguments that sign the request for one host."""
    return ("x509", "-req", *sign, "-extensions", f"leaf{number}", *_serial(), *_DAYS)


def _serial() -> tuple[str, str]:
    """Return a random serial number of 128 bits: without one, openssl keeps count in a file."""
    return "-set_serial", f"0x{os.urandom(16).hex()}"


def _settings(hosts: Sequence[str], permitted: Sequence[str]) -> str:
    """Write openssl's settings, config(5ssl): for requests, and each certificate's extensions."""
    lines = [
        "[req]",
        "prompt = no",
        "distinguished_name = subject",
        "[subject]",
        "CN = keepline gateway",
        "[ca]",
        "basicConstraints = critical,CA:TRUE,pathlen:0",
        "keyUsage = critical,keyCertSign",
        "subjectKeyIdentifier = hash",
        "nameConstraints = critical,@hosts",
        "[hosts]",
        *_constraints(permitted),
    ]
    for number, host in enumerate(hosts):
        lines += [
            f"[leaf{number}]",
            "basicConstraints = critical,CA:FALSE",
            "keyUsage = critical,digitalSignature",
            "extendedKeyUsage = serverAuth",
            "subjectKeyIdentifier = hash",
            "authorityKeyIdentifier = keyid",
            f"subjectAltName = {_alternative_name(host)}",
        ]
    return "\n".join([*lines, ""])


def _constraints(permitted: Sequence[str]) -> list[str]:
    """Permit these names, and no address where none is among them: RFC 5280 section 4.2.1.10.

    BoringSSL, which Bun uses, refuses any address below a CA that constrains addresses. So where
    one is needed, the CA does not mention them: that its key is gone has to suffice.
    """
    names = [host for host in permitted if not is_ipv4(host)]
    # `invalid` belongs to nobody, RFC 6761: where there are no names, none is permitted.
    lines = [f"permitted;DNS.{number} = {name}" for number, name in enumerate(names or ["invalid"])]
    if len(names) == len(permitted):
        lines += ["excluded;IP.0 = 0.0.0.0/0.0.0.0", "excluded;IP.1 = ::/::"]
    return lines


def _alternative_name(host: str) -> str:
    """Return a host as a subjectAltName; raises ValueError for what openssl might misread."""
    if is_ipv4(host):
        return f"IP:{host}"
    if not _NAME.fullmatch(host):
        raise ValueError(f"{host!r} is no name in lower case and no IPv4 address")
    return f"DNS:{host}"


class _Openssl:
    """Runs of one openssl program, all within one deadline."""

    def __init__(self, program: str) -> None:
        """Let the time for all runs begin."""
        self._program = program
        self._deadline = time.monotonic() + TIMEOUT

    def __call__(self, *commands: _Arguments) -> list[str]:
        """Run them in parallel and return what each printed; raises CertificateError, OSError."""
        running: list[subprocess.Popen[str]] = []
        try:
            running.extend(map(self._start, commands))
            return [self._result(process) for process in running]
        finally:
            for process in running:
                with process:  # which waits for it
                    process.kill()

    def _start(self, command: _Arguments) -> "subprocess.Popen[str]":
        """Start one that inherits the memory files among its arguments."""
        files = [argument for argument in command if isinstance(argument, Memory)]
        words = [arg.path if isinstance(arg, Memory) else arg for arg in command]
        return subprocess.Popen(  # noqa: S603 - the system's openssl, no shell
            [self._program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[file.fd for file in files],
            env=_NO_SETTINGS,
            text=True,
            errors="replace",
        )

    def _result(self, process: "subprocess.Popen[str]") -> str:
        """Wait for its end, and return what it printed; raises CertificateError."""
        try:
            out, err = process.communicate(timeout=self._deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            raise CertificateError(f"{self._program} was not done after {TIMEOUT:g} s") from None
        if process.returncode < 0:
            raise CertificateError(f"{self._program}: killed by signal {-process.returncode}")
        if process.returncode > 0 or "-----BEGIN CERTIFICATE" not in out:
            reason = (err.strip() or "no certificate came out").splitlines()[-1]
            raise CertificateError(f"{self._program}: {reason}")
        return out
