"""Reads the URL of a proxy, RFC 3986, as curl takes it; pure.

It may hold a password, so no message repeats it.
"""

import re
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from relay.addresses import Destination, canonical, is_ipv4, numbers_and_dots, split_port

Scheme: TypeAlias = Literal["http", "https", "socks5"]

_SCHEMES: Final[dict[str, Scheme]] = {
    "http": "http",
    "https": "https",
    "socks5": "socks5",
    "socks5h": "socks5",  # a name is the proxy's to resolve, whichever of the two is written
}
_PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443, "socks5": 1080}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_LONGEST_NAME: Final = 253
_LONGEST_FIELD: Final = 255
"""Octets of a user or a password in SOCKS5, RFC 1929."""

_WITH_PAC: Final = "is a PAC file, which is a program and not read: name the proxy that it returns"


@dataclass(frozen=True)
class Credentials:
    """What a proxy knows its user by."""

    username: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True)
class Proxy:
    """A proxy, and how it is spoken to."""

    scheme: Scheme
    host: str
    """A canonical name, or a dotted IPv4 address."""
    port: int
    credentials: Credentials | None = None

    @property
    def destination(self) -> Destination:
        """Where it listens."""
        return Destination(self.host, self.port)

    def __str__(self) -> str:
        """Return its URL for people, without credentials."""
        return f"{self.scheme}://{self.host}:{self.port}"


def parse(text: str) -> Proxy:
    """Read [SCHEME://][USER[:PASSWORD]@]HOST[:PORT][/]; without a scheme it is http.

    Raises ValueError with the end of a sentence that begins with the setting's name.
    """
    match = _SCHEME.fullmatch(text.strip())
    written, rest = match.groups() if match else ("http", text.strip())
    authority, slash, path = rest.partition("/")
    user, at, place = authority.rpartition("@")
    if slash and path:
        is_pac = path.lower().partition("?")[0].endswith((".pac", ".dat"))
        raise ValueError(_WITH_PAC if is_pac else "has a path, which no proxy has: leave it out")
    scheme = _SCHEMES.get(written.lower())
    if scheme is None:
        if written.lower().startswith("pac"):
            raise ValueError(_WITH_PAC)
        raise ValueError("has a scheme that is none of http, https, socks5 and socks5h")
    host, port = _place(place, _PORTS[scheme])
    return Proxy(scheme, host, port, _credentials(scheme, user) if at else None)


def _place(text: str, default_port: int) -> tuple[str, int]:
    """Read HOST[:PORT]; raises ValueError."""
    if text.startswith("[") or text.count(":") > 1:
        raise ValueError("has an IPv6 address, and keepline sends no IPv6: write its name or IPv4")
    try:
        written, port = split_port(text.removesuffix(":"))
    except ValueError as error:
        raise ValueError(f"is not a proxy's URL: {error}") from None
    host = canonical(written)
    host = numbers_and_dots(host) or host
    if not is_ipv4(host) and (len(host) > _LONGEST_NAME or not _NAME.fullmatch(host)):
        raise ValueError("has no host name or IPv4 address: write SCHEME://HOST:PORT")
    return host, default_port if port is None else port


def _credentials(scheme: Scheme, text: str) -> Credentials:
    """Read USER[:PASSWORD], percent-encoded; raises ValueError."""
    user, _colon, password = text.partition(":")
    try:
        return credentials(scheme, _decoded(user), _decoded(password))
    except ValueError as error:
        raise ValueError(f"has {error}") from None


def credentials(scheme: Scheme, username: bytes, password: bytes) -> Credentials:
    """Check what a proxy of this scheme can be told; raises ValueError with what is wrong."""
    if scheme == "socks5":
        fields = username, password
        if not all(0 < len(each) <= _LONGEST_FIELD and each.isascii() for each in fields):
            raise ValueError("a user or a password that SOCKS5 cannot carry: 1 to 255 of ASCII")
    elif b":" in username:
        raise ValueError("a colon in its user, which no proxy can tell from a password")
    return Credentials(username, password)


def _decoded(text: str) -> bytes:
    """Return what percent-encoding stands for; what is none of it stays, as curl has it."""
    written = text.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), written)
