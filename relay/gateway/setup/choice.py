"""How programs reach the gateway, and which origins it serves; pure, no I/O.

- `tls`: connections to the origins by name are answered with certificates made for them;
- `http`: the program gets a base URL of plain HTTP, on its own loopback.

The user's own base URL, in the variable of the dialect, is an origin in both modes. It may hold a
secret (a user, a password, a path with a key), so no message repeats it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from netns.errors import KeeplineError
from relay.addresses import Destination, canonical, parse_destination
from relay.config import GatewayMode, Settings
from relay.gateway.dialect import Dialect
from relay.gateway.dialects import DEFAULT, dialect_of_host, programs
from relay.gateway.setup.command import Agent, Look, agent_of

EXTRA: Final = "NODE_EXTRA_CA_CERTS"
"""The variable by which a program learns of the session's authority."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PATH: Final = r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*"


class GatewayError(KeeplineError):
    """The gateway cannot be had as it was asked for."""


@dataclass(frozen=True)
class Origin:
    """A server that the gateway asks, RFC 6454, with what its paths begin with and its dialect."""

    host: str
    """A canonical name, or a dotted IPv4 address."""
    port: int
    tls: bool
    prefix: str
    """Empty, or `/` and more, without the slash of what follows."""
    dialect: Dialect = DEFAULT

    @property
    def destination(self) -> Destination:
        """Where to dial."""
        return Destination(self.host, self.port)

    @property
    def authority(self) -> str:
        """What Host and :authority are, RFC 9110 section 7.2: a default port is left out."""
        return self.destination.without_port(_DEFAULT_PORTS["https" if self.tls else "http"])


@dataclass(frozen=True)
class Enabled:
    """The gateway is on."""

    mode: GatewayMode
    origins: tuple[Origin, ...]
    """That of the base URL first; then, with `tls`, the configured ones."""
    why: str
    """For people."""

    @property
    def base(self) -> Origin:
        """The origin of requests that come by the base URL."""
        return self.origins[0]

    @property
    def certificate_hosts(self) -> tuple[str, ...]:
        """The hosts from which the program expects a certificate."""
        if self.mode == "http":
            return ()
        return tuple(dict.fromkeys(origin.host for origin in self.origins if origin.tls))

    def origin_at(self, host: str, port: int) -> Origin | None:
        """Return the origin that a connection to this name or address is for, with `tls`."""
        if self.mode == "http":
            return None
        wanted = Destination(canonical(host), port)
        return next((origin for origin in self.origins if origin.destination == wanted), None)

    def environment(self, port: int, below: str = "") -> dict[str, str]:
        """Return the variables that lead the program to a gateway at `port` of its loopback.

        Paths begin with what they are `below`, if that is given: /SECRET.
        With `tls` there are none: its base URL stays, and the caller names the certificates.
        """
        if self.mode == "tls":
            return {}
        return {self.base.dialect.base_url: f"http://127.0.0.1:{port}{below}{self.base.prefix}"}


@dataclass(frozen=True)
class Disabled:
    """The gateway is off."""

    why: str
    """For people."""
    program: str = field(default="", compare=False)
    """The agent that could have had it; empty if there is none, or nobody wants it."""


def _find_no_file(word: str) -> None:  # noqa: ARG001 - a Look
    return None


def choose(
    settings: Settings,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    has_openssl: Callable[[], bool],
    look: Look = _find_no_file,
) -> Enabled | Disabled:
    """Choose for `command`, which gets `environment`; `look` finds the files that it names.

    `has_openssl` is called only where that decides. Raises GatewayError if the gateway was asked
    for by name but cannot be had; with `auto` it is then off.
    """
    if settings.gateway == "off":
        return Disabled("gateway = off")
    agent = agent_of(command, look)
    if settings.gateway == "auto" and agent is None:
        return Disabled(f"the command is not {' or '.join(programs())}")
    name = agent.name if agent is not None else ""
    try:
        origins = _origins(settings, agent, environment)
    except GatewayError as error:
        if settings.gateway != "auto":
            raise
        return Disabled(error.cause, name)
    mode, why = _mode(settings, agent, has_openssl)
    if settings.gateway == "auto" and agent is not None:
        variable = EXTRA if mode == "tls" else agent.dialect.base_url
        own = f"it is given a {variable} of its own" if variable in agent.sets else ""
        if obstacle := agent.obstacle or own:
            return Disabled(f"{agent.why}, but {obstacle}", name)
    return Enabled(mode, origins if mode == "tls" else origins[:1], why)


def needed(
    settings: Settings, command: Sequence[str], environment: Mapping[str, str], look: Look
) -> tuple[str, Destination] | None:
    """Return the agent that the command runs, and what it asks; None if that is not known."""
    agent = agent_of(command, look)
    if agent is None:
        return None
    try:
        return agent.name, _origins(settings, agent, environment)[0].destination
    except GatewayError:
        return None


def _origins(
    settings: Settings, agent: Agent | None, environment: Mapping[str, str]
) -> tuple[Origin, ...]:
    """Return the origins of `tls`, that of the base URL first; raises GatewayError."""
    dialect = agent.dialect if agent is not None else DEFAULT
    own = agent.sets.get(dialect.base_url) if agent is not None else None
    if own is not None and not set("$`") & set(own):  # else it is known in the program alone
        environment = {**environment, dialect.base_url: own}
    configured = [_configured(text, dialect) for text in settings.gateway_hosts]
    return _distinct(_base(environment, configured, dialect), *configured)


def _mode(
    settings: Settings, agent: Agent | None, has_openssl: Callable[[], bool]
) -> tuple[GatewayMode, str]:
    """Choose by what was asked for and what `tls` lacks; return the reason too."""
    if settings.gateway == "http":
        return "http", "gateway = http"
    lack = _lack_of_tls(settings, has_openssl)
    if settings.gateway == "tls" or agent is None:
        if lack is not None:
            raise lack
        return "tls", "gateway = tls"
    if lack is None:
        return "tls", agent.why
    return "http", f"{agent.why}; over plain HTTP: {lack.cause}"


def _configured(text: str, default: Dialect) -> Origin:
    """Read one of the configured hosts, which the settings have validated."""
    host, port = parse_destination(text, _DEFAULT_PORTS["https"])
    return Origin(host, port, tls=True, prefix="", dialect=dialect_of_host(host, default))


def _lack_of_tls(settings: Settings, has_openssl: Callable[[], bool]) -> GatewayError | None:
    """Return why the `tls` gateway cannot be had here; None if it can."""
    if settings.intercept == "proxy" and settings.gateway == "auto":
        return GatewayError(
            "a program that is told of a proxy can be told of a base URL too",
            "use --gateway=tls for a program that heeds NODE_EXTRA_CA_CERTS alone",
        )
    if settings.dns == "real":
        return GatewayError(
            "the tls gateway needs dns = synthetic: with real addresses a connection has no name",
            "leave out --dns real, or use --gateway=http",
        )
    if not has_openssl():
        return GatewayError(
            "the tls gateway needs the openssl program, and the system has none",
            "install openssl where root alone can write, or use --gateway=http",
        )
    return None


def _base(environment: Mapping[str, str], configured: Sequence[Origin], dialect: Dialect) -> Origin:
    """Return the origin of requests that name none: the user's own, or the first configured."""
    variable = dialect.base_url
    text = environment.get(variable, "").strip()  # as its clients do: blank is unset
    if not text:
        if not configured:
            raise GatewayError(
                "the gateway has no host", "name one: [gateway] hosts in config.toml"
            )
        return configured[0]
    try:
        return parse_base_url(text, dialect)
    except ValueError as error:
        raise GatewayError(
            f"{variable} {error}", f"mend or unset {variable}, or use --gateway=off"
        ) from None


def _distinct(*origins: Origin) -> tuple[Origin, ...]:
    """Return the first of those that a connection cannot tell apart."""
    found: dict[Destination, Origin] = {}
    for origin in origins:
        found.setdefault(origin.destination, origin)
    return tuple(found.values())


def parse_base_url(text: str, dialect: Dialect = DEFAULT) -> Origin:
    """Read http[s]://HOST[:PORT][/PATH] as a client of the WHATWG URL standard would.

    What such a client would write differently (dot segments, 0x7f.1, a host that is not ASCII) is
    refused, so that its requests are what the gateway expects. Raises ValueError with the end of a
    sentence that begins with the variable's name; `text` is not in it.
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
    if not re.fullmatch(_PATH, path) or _has_dot_segments(path):
        raise ValueError("has a path that clients would write in another way")
    return Origin(host, port, scheme.lower() == "https", path.removesuffix("/"), dialect)


def _has_dot_segments(path: str) -> bool:
    segments = path.lower().replace("%2e", ".").split("/")
    return "." in segments or ".." in segments
