"""Which door the gateway opens for a command, and to where; pure, no I/O.

- `tls`: connections to the hosts by name are answered with certificates made for them;
- `http`: the program is told a base URL of plain HTTP, on its own loopback.

The user's own ANTHROPIC_BASE_URL is the upstream of both. What it holds may be a secret (a user,
a password, a path with a key), so no message repeats it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from netns.errors import KeeplineError
from relay.addresses import canonical, is_ipv4, parse_destination

Gateway = Literal["auto", "tls", "http", "off"]
Door = Literal["tls", "http"]

BASE_URL: Final = "ANTHROPIC_BASE_URL"
PROGRAM: Final = "claude"
"""The command whose gateway is on by itself."""

MESSAGES: Final = "/v1/messages"
COUNT_TOKENS: Final = "/v1/messages/count_tokens"

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")


class DoorError(KeeplineError):
    """No door can be opened as asked."""


@dataclass(frozen=True)
class Upstream:
    """A server that the gateway asks."""

    host: str
    """A name in lower case without its last dot, or a dotted IPv4 address."""
    port: int
    tls: bool
    prefix: str
    """What its paths begin with: empty, or `/` and more, without the slash of what follows."""

    @property
    def name(self) -> str | None:
        """The name to look up; None if the host is an address."""
        return None if is_ipv4(self.host) else self.host


@dataclass(frozen=True)
class Doors:
    """The gateway is on."""

    door: Door
    upstreams: tuple[Upstream, ...]
    """The base one first; then, at the tls door, the configured ones."""
    why: str
    """For people."""

    @property
    def base(self) -> Upstream:
        """The upstream of requests that come through the http door."""
        return self.upstreams[0]

    @property
    def certificate_hosts(self) -> tuple[str, ...]:
        """The hosts that the program expects a certificate of."""
        if self.door == "http":
            return ()
        return tuple(dict.fromkeys(upstream.host for upstream in self.upstreams if upstream.tls))

    def upstream_at(self, host: str, port: int) -> Upstream | None:
        """Give the upstream that a connection by this name or address is for, at the tls door."""
        if self.door == "http":
            return None
        host = canonical(host)
        for upstream in self.upstreams:
            if (upstream.host, upstream.port) == (host, port):
                return upstream
        return None

    def environment(self, port: int) -> dict[str, str]:
        """Give what the program must be told, for a gateway at `port` of its loopback.

        At the tls door that is nothing: its base URL stays, and the caller names the certificates.
        """
        if self.door == "tls":
            return {}
        return {BASE_URL: f"http://127.0.0.1:{port}{self.base.prefix}"}


@dataclass(frozen=True)
class Closed:
    """The gateway is off."""

    why: str
    """For people."""


def choose(  # noqa: PLR0913 - all that decides
    gateway: Gateway,
    hosts: Sequence[str],
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    dns: Literal["synthetic", "real"],
    openssl: bool,
) -> Doors | Closed:
    """Choose the door for `command`, which gets `environment`; `openssl`: whether there is one.

    Raises DoorError for a host that cannot be read, and if the gateway is asked for by name but
    cannot be had. Under `auto` it is then off.
    """
    if gateway == "off":
        return Closed("gateway = off")
    if gateway == "auto" and not is_for(command):
        return Closed(f"the command is not {PROGRAM}")
    configured = [_configured(text) for text in hosts]
    try:
        base = _base(environment, configured)
    except DoorError as error:
        if gateway != "auto":
            raise
        return Closed(error.cause)
    door, why = _door(gateway, _lack_of_tls(dns, openssl=openssl))
    return Doors(door, _distinct(base, *configured) if door == "tls" else (base,), why)


def _door(gateway: Literal["auto", "tls", "http"], lack: DoorError | None) -> tuple[Door, str]:
    """Choose by what was asked for and what the tls door lacks; gives the reason too."""
    why = f"the command is {PROGRAM}" if gateway == "auto" else f"gateway = {gateway}"
    if gateway == "http":
        return "http", why
    if lack is None:
        return "tls", why
    if gateway == "auto":
        return "http", f"{why}; over plain HTTP: {lack.cause}"
    raise lack


def is_for(command: Sequence[str]) -> bool:
    """Tell whether the gateway is on by itself for a command."""
    return bool(command) and command[0].rpartition("/")[2] == PROGRAM


def _configured(text: str) -> Upstream:
    try:
        host, port = parse_destination(text, _DEFAULT_PORTS["https"])
    except ValueError as error:
        raise DoorError(
            f"gateway host {text!r} {error}", "mend [gateway] hosts in config.toml"
        ) from None
    return Upstream(host, port, tls=True, prefix="")


def _lack_of_tls(dns: Literal["synthetic", "real"], *, openssl: bool) -> DoorError | None:
    """Say why the tls door cannot be opened here."""
    if dns == "real":
        return DoorError(
            "the tls gateway needs dns = synthetic: with real addresses a connection has no name",
            "leave out --dns real, or use --gateway=http",
        )
    if not openssl:
        return DoorError(
            "the tls gateway needs the openssl program, and there is none",
            "install openssl, or use --gateway=http",
        )
    return None


def _base(environment: Mapping[str, str], configured: Sequence[Upstream]) -> Upstream:
    """Find the upstream of requests that name none: the user's own, or the first configured."""
    text = environment.get(BASE_URL, "").strip()  # the client too: blank is unset
    if not text:
        if not configured:
            raise DoorError("the gateway has no host", "name one: [gateway] hosts in config.toml")
        return configured[0]
    try:
        return parse_base_url(text)
    except ValueError as error:
        raise DoorError(
            f"{BASE_URL} {error}", f"mend or unset {BASE_URL}, or use --gateway=off"
        ) from None


def _distinct(*upstreams: Upstream) -> tuple[Upstream, ...]:
    """Keep the first of those that a connection cannot tell apart."""
    found: dict[tuple[str, int], Upstream] = {}
    for upstream in upstreams:
        found.setdefault((upstream.host, upstream.port), upstream)
    return tuple(found.values())


def parse_base_url(text: str) -> Upstream:
    """Read http[s]://HOST[:PORT][/PATH] as a client of the WHATWG URL standard would.

    What such a client would write in another way (dot segments, 0x7f.1, a host that is not ASCII)
    is refused, so that its requests are what the gateway expects. Raises ValueError with the end
    of a sentence that begins with the variable's name; `text` is not in it.
    """
    scheme, separator, rest = text.partition("://")
    port = _DEFAULT_PORTS.get(scheme.lower())
    if port is None or not separator:
        raise ValueError("begins with neither http:// nor https://")
    if "?" in rest or "#" in rest:
        raise ValueError("has a query or a fragment, which no base URL has")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        raise ValueError("has a user or a password, which clients do not send")
    host, port = parse_destination(authority, port)
    path = slash + path
    if not _PATH.fullmatch(path) or _has_dot_segments(path):
        raise ValueError("has a path that clients would write in another way")
    return Upstream(host, port, scheme.lower() == "https", path.removesuffix("/"))


def _has_dot_segments(path: str) -> bool:
    segments = path.lower().replace("%2e", ".").split("/")
    return "." in segments or ".." in segments


def listed(method: str, path: str, prefix: str) -> bool:
    """Tell whether a request may be sent again although it may have been processed.

    `path` as the request line has it: it is not decoded, and nothing that merely means the same
    is taken for it.
    """
    if method in ("GET", "HEAD"):
        return True
    paths = (prefix + MESSAGES, prefix + COUNT_TOKENS)
    return method == "POST" and path.partition("?")[0] in paths


def is_messages(method: str, path: str, prefix: str) -> bool:
    """Tell whether a request asks for a message, the one kind that is streamed and billed."""
    return method == "POST" and path.partition("?")[0] == prefix + MESSAGES
