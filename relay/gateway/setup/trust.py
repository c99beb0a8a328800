"""What the gateway trusts upstream: the system's store, SSL_CERT_FILE and NODE_EXTRA_CA_CERTS.

All of it is read as the program would have read it, in whose place the gateway speaks, and so is
the certificate that it presents.
"""

import contextlib
import os
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Final

from netns.errors import KeeplineError
from relay import tls
from relay.gateway.dialect import Identity
from relay.gateway.setup.choice import EXTRA
from relay.gateway.setup.memory import Memory

FILE: Final = "SSL_CERT_FILE"
FOLDER: Final = "SSL_CERT_DIR"
_VERIFIES: Final = "NODE_TLS_REJECT_UNAUTHORIZED"

ALPN: Final = ("h2", "http/1.1")
WELL_KNOWN: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL
    "/etc/ssl/cert.pem",  # Alpine
)
"""Where systems keep their store; a Python that was not built for a system looks elsewhere."""

_BEGIN: Final = re.compile(r"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----")
_BLOCK: Final = re.compile(
    r"-----BEGIN (X509 |)CERTIFICATE-----[^-\x80-\xff]*(-----END \1CERTIFICATE-----)?"
)
"""A certificate as Node finds it, even a broken one; not a key or a comment beside it."""
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""The name of a file that OpenSSL finds in a folder, openssl-rehash(1)."""


_ORIGINALS: Final[dict[str, str]] = {}
"""By the path of a copy, which file it is of: for people."""
_SYSTEMS: Final[dict[str, str]] = {}
"""The same of the system's store, which no variable named."""


class TrustError(KeeplineError):
    """A store of certificates that was named cannot be used."""


def _ignore(note: str) -> None:
    """Drop a warning, for callers that have read the same file and warned before."""


@contextlib.contextmanager
def copied(environment: MutableMapping[str, str], identities: Iterable[Identity]) -> Iterator[None]:
    """Have an environment name copies of the files that it trusts by, for as long as it lasts.

    They are read before the command starts, which may change them then: what is trusted must not
    change with it. What cannot be read is named no more. The authorities of SSL_CERT_DIR are put
    behind those of the file; the system's own folder stays, which root alone can write.
    Raises TrustError for an SSL_CERT_FILE that is missing or has no certificate.
    """
    variables = [name for each in identities for name in (each.certificate, each.key)]
    named = {name: environment.get(name, "") for name in (EXTRA, *variables)}
    named[FILE] = _store(environment)[0]
    before = {name: environment.get(name) for name in (*named, FOLDER)}
    further = _authorities(before[FOLDER] or "")
    if further:
        named[FILE] = named[FILE] or os.devnull
    with contextlib.ExitStack() as stack:
        for path in filter(None, {*named.values()}):
            with contextlib.suppress(OSError):
                text = Path(path).read_bytes() + (further if path == named[FILE] else b"")
                copy = stack.enter_context(Memory("copy", text))
                _ORIGINALS[copy.path] = path
        copies = {path: copy for copy, path in _ORIGINALS.items()}
        if not environment.get(FILE):
            _SYSTEMS.update({copy: path for path, copy in copies.items() if path == named[FILE]})
        _name(environment, {name: copies.get(path) for name, path in named.items()})
        if before[FOLDER]:
            environment[FOLDER] = os.devnull  # an empty one would be the system's
        try:
            yield
        finally:
            _ORIGINALS.clear()
            _SYSTEMS.clear()
            _name(environment, before)


def _authorities(folders: str) -> bytes:
    """Return the certificates that OpenSSL would find in some folders, those that can be read."""
    blocks = []
    for folder in filter(_is_hashed, folders.split(":")):
        for path in sorted(Path(folder).iterdir()):
            if _HASHED.fullmatch(path.name) and path.is_file():
                with contextlib.suppress(OSError):
                    blocks += [match[0] for match in _BLOCK.finditer(_read(str(path)))]
    readable = _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), blocks)
    return "".join(f"\n{block}\n" for block in dict.fromkeys(readable)).encode()


def _name(environment: MutableMapping[str, str], values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value


def client_context(
    environment: Mapping[str, str],
    *,
    alpn: Sequence[str] = ALPN,
    identity: Identity | None = None,
    warn: Callable[[str], None] = _ignore,
) -> ssl.SSLContext:
    """Make the context of connections to upstream: TLS 1.2 or later, name and chain verified.

    They are not where the program is told not to verify them: NODE_TLS_REJECT_UNAUTHORIZED=0.

    Takes 20 ms for each file of 140 authorities. Raises TrustError if SSL_CERT_FILE or the system's
    file cannot be read; a NODE_EXTRA_CA_CERTS that cannot only causes a call of `warn`, as in Node,
    and so does a certificate of our own that cannot be used: there is none then.
    """
    store, folders = _store(environment)
    context = tls.context(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(list(alpn))
    if folders:
        context.load_verify_locations(capath=folders)
    if store:
        try:
            context.load_verify_locations(cafile=store)
        except (OSError, ssl.SSLError) as error:
            raise _unusable(environment, store, "a certificate in it is broken") from error
    if environment.get(EXTRA) != store:
        _load(context, _extra(environment, warn))
    if environment.get(_VERIFIES) == "0":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        _present(context, environment, identity, warn)
    return context


def check_identity(
    environment: Mapping[str, str], identity: Identity, warn: Callable[[str], None]
) -> None:
    """Call `warn` if a certificate to present is named and cannot be used."""
    _present(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), environment, identity, warn)


def _present(
    context: ssl.SSLContext,
    environment: Mapping[str, str],
    identity: Identity,
    warn: Callable[[str], None],
) -> None:
    """Present the certificate that is named, if one is, to servers that ask for it."""
    certificate, key = environment.get(identity.certificate), environment.get(identity.key)
    if not certificate:
        return
    passphrase = environment.get(identity.passphrase, "")
    try:  # with a passphrase, or OpenSSL would ask the terminal for it
        context.load_cert_chain(certificate, key or None, password=lambda: passphrase)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        names = f"{identity.certificate}={certificate}"
        if key:
            names += f" with {identity.key}={key}"
        warn(f"{names}: {_reason(error)}: servers that ask for a certificate get none")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        why = error.reason or "no key in it, or not with this passphrase"  # "PEM lib"
        return why.lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or error)


def roots(environment: Mapping[str, str]) -> list[str]:
    """Return where trust comes from, for people; empty if nothing is trusted.

    Takes 1 ms: what client_context() reads is only looked for. Raises TrustError for an
    SSL_CERT_FILE that is missing or has no certificate.
    """
    store, folders = _store(environment)
    found = [_named(environment, FILE, store), _named(environment, FOLDER, folders)]
    if _extra(environment, _ignore):
        found.append(f"{EXTRA}={environment[EXTRA]}")
    return [place for place in found if place]


def _named(environment: Mapping[str, str], variable: str, place: str) -> str:
    return f"{variable}={place}" if place and environment.get(variable) else place


def extra_ca_text(
    environment: Mapping[str, str], ca: str, *, warn: Callable[[str], None] = _ignore
) -> str:
    """Return the PEM text that the program gets as NODE_EXTRA_CA_CERTS: `ca` and its caller's own.

    Certificates that cannot be read are left out, with a call of `warn`: because of one, Bun would
    ignore all of them, and Node all that follow, which is why `ca` comes first.
    """
    blocks = _extra(environment, warn)
    scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    readable = _load(scratch, blocks)
    if len(readable) < len(blocks):
        left_out = len(blocks) - len(readable)
        warn(f"{EXTRA}={environment[EXTRA]}: {left_out} of its certificates cannot be read")
    return "".join(f"{block.strip()}\n" for block in (ca, *readable) if block)


def _load(context: ssl.SSLContext, blocks: Sequence[str]) -> list[str]:
    """Trust those that can be read; return them."""
    readable = []
    for block in blocks:
        with contextlib.suppress(ssl.SSLError):
            context.load_verify_locations(cadata=block)
            readable.append(block)
    return readable


def _store(environment: Mapping[str, str]) -> tuple[str, str]:
    """Find the system's store as OpenSSL does, SSL_CTX_load_verify_locations(3).

    Return its file, empty if there is none, and its folders, separated by colons.

    Each variable replaces its default; an empty one counts as unset. Where neither is set and
    OpenSSL's own places hold nothing, the first of WELL_KNOWN that holds something is used.
    """
    defaults = ssl.get_default_verify_paths()
    named_file, named_folder = environment.get(FILE), environment.get(FOLDER)
    places = (named_folder or defaults.openssl_capath).split(":")
    folders = ":".join(filter(_is_hashed, places))
    if named_file:
        if lack := _lack(named_file):
            raise _unusable(environment, named_file, lack)
        return named_file, folders
    files = [defaults.openssl_cafile]
    if not named_folder and not folders:
        files += WELL_KNOWN
    return next((file for file in files if not _lack(file)), ""), folders


def _is_hashed(folder: str) -> bool:
    """Return whether OpenSSL would find anything in the folder."""
    try:
        return any(_HASHED.fullmatch(path.name) for path in Path(folder).iterdir())
    except OSError:
        return False


def _lack(path: str) -> str:
    """Return why there are no certificates in a file; empty if there are."""
    try:
        return "" if _BEGIN.search(_read(path)) else "there is no certificate in it"
    except OSError as error:
        return str(error.strerror)


def _read(path: str) -> str:
    """Return the text of a file; comments beside certificates may be in any encoding."""
    return Path(path).read_text(encoding="latin-1")


def _unusable(environment: Mapping[str, str], path: str, reason: str) -> TrustError:
    is_named, path = bool(environment.get(FILE)), _ORIGINALS.get(path, path)
    if is_named and path != _SYSTEMS.get(environment[FILE]):
        return TrustError(f"{FILE}={path}: {reason}", f"mend or unset {FILE}")
    return TrustError(f"{path}: {reason}", f"mend it, or name another: {FILE}")


def _extra(environment: Mapping[str, str], warn: Callable[[str], None]) -> list[str]:
    """Return the certificates in the caller's NODE_EXTRA_CA_CERTS, still as text."""
    path = environment.get(EXTRA)
    if not path:
        return []
    try:
        text = _read(path)
    except OSError as error:
        warn(f"{EXTRA}={path}: {error.strerror}: it is ignored")
        return []
    blocks = [match[0] for match in _BLOCK.finditer(text)]
    if not blocks:
        warn(f"{EXTRA}={path}: there is no certificate in it")
    return blocks
