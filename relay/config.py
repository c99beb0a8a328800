"""Frozen, validated settings from config.toml, KEEPLINE_* and flags, in that order; pure.

Each source is validated on its own, so that an error can name the place to mend.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta

from netns.errors import KeeplineError
from relay.addresses import (
    DEFAULT_POOL,
    Destination,
    is_ipv4,
    parse_destination,
    parse_pool,
    split_port,
)
from relay.policy.policy import Policy

GatewayMode: TypeAlias = Literal["tls", "http"]
"""How programs reach the gateway: by certificates made for its hosts, or by a base URL."""

Hold: TypeAlias = Literal["message", "block", "none"]
"""What of a streamed answer is held until it is complete: all, all but its first block, nothing."""

Share: TypeAlias = Literal[
    "session-bus", "docker", "podman", "ssh-agent", "gpg-agent", "x11", "wayland"
]
"""What --strict puts out of reach and can leave within it: a service of the host, by its socket."""

ENVIRONMENT_PREFIX: Final = "KEEPLINE_"
SESSION_VARIABLE: Final = "KEEPLINE_SESSION"
DNS_PORT: Final = 53
_HTTPS_PORT: Final = 443
_DAY: Final = 86400  # seconds


class ConfigError(KeeplineError):
    """A setting that cannot be used; the cause names its place and the mistake."""

    def __init__(self, cause: str) -> None:
        """Keep the cause; the next step is always the same."""
        super().__init__(cause, "mend the setting, or leave it out for its default")


def _help(description: str, least: int | None = None, most: int | None = None) -> Meta:
    """Return the help text of a setting, and the bounds of a number."""
    return Meta(description=description, ge=least, le=most)


_Texts: TypeAlias = tuple[str, ...]


class DestinationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of some destinations alone, as in [destination."*.example.com"]."""

    idle_retire: Annotated[int, _help("seconds of silence after which to close", 1, _DAY)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a session; the descriptions are the command line's help."""

    keepidle: Annotated[int, _help("seconds of silence before a keepalive probe", 1, 32767)] = 20
    keepintvl: Annotated[int, _help("seconds between keepalive probes", 1, 32767)] = 5
    keepcnt: Annotated[
        int, _help("unanswered probes before giving up, if user_timeout is 0", 1, 127)
    ] = 3
    user_timeout: Annotated[
        int, _help("seconds that data or probes may stay unanswered", 0, 2_000_000)
    ] = 300
    rto_max: Annotated[
        int, _help("longest pause between retransmissions in ms; 0: kernel's", 0, 120_000)
    ] = 1000
    patience: Annotated[int, _help("seconds that a dial may take, retries included", 1, _DAY)] = 300
    dns: Annotated[
        Literal["synthetic", "real"],
        _help("addresses the program sees: one per name, or the real ones"),
    ] = "synthetic"
    dns_pool: Annotated[
        str, _help("private network whose addresses stand for names, ADDRESS/LENGTH")
    ] = DEFAULT_POOL
    nameservers: Annotated[
        _Texts, _help("IPv4 resolvers to ask, ADDRESS[:PORT], instead of resolv.conf's")
    ] = ()
    allow: Annotated[_Texts, _help("destinations that may be reached, HOST[:PORT]")] = ()
    deny: Annotated[_Texts, _help("destinations that may not be reached, HOST[:PORT]")] = ()
    intercept: Annotated[
        Literal["auto", "tproxy", "redirect", "ports"],
        _help("how connections are caught; auto takes the first that works"),
    ] = "auto"
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...],
        Meta(max_length=250, description="the ports that intercept = ports can catch"),
    ] = ()
    gateway: Annotated[
        Literal["auto", GatewayMode, "off"],
        _help("hide losses of HTTP to the API host; auto: if the command is claude"),
    ] = "auto"
    gateway_hosts: Annotated[_Texts, _help("whom the gateway speaks HTTP with, HOST[:PORT]")] = (
        "api.anthropic.com",
    )
    hold: Annotated[
        Literal["auto", Hold],
        _help(
            "what of a streamed answer the gateway holds until it is complete;"
            " auto: block on a terminal, else message"
        ),
    ] = "auto"
    stream_silence: Annotated[
        int,
        _help(
            "seconds of silence after which a streamed answer is lost; 0: 60 where upstream is"
            " known to fill silence, else never",
            0,
            _DAY,
        ),
    ] = 0
    linger: Annotated[
        bool, _help("stay until all processes the command left behind have ended")
    ] = False
    strict: Annotated[
        bool, _help("confine a program that is not trusted: its processes, files and sockets too")
    ] = False
    share: Annotated[
        tuple[Share, ...], _help("services of the host that --strict leaves within reach")
    ] = ()
    home: Annotated[
        Literal["host", "private"],
        _help("the home folder that the program sees; private, with --strict: an empty one"),
    ] = "host"
    log_limit: Annotated[int, _help("size of a session's flight log in MiB, at most", 1, 1024)] = 8
    destination: dict[str, DestinationSettings] = {}
    """In the config file alone: settings by rule, HOST[:PORT]; the first match counts."""

    def __post_init__(self) -> None:
        """Check what types cannot express; raises ValueError."""
        self.policy()
        parse_pool(self.dns_pool)
        for server in self.nameservers:
            parse_nameserver(server)
        for host in self.gateway_hosts:
            try:
                parse_destination(host, _HTTPS_PORT)
            except ValueError as error:
                raise ValueError(f"{host!r} {error}") from None

    def policy(self) -> Policy:
        """Make the policy of the session; raises ValueError."""
        retire = {rule: float(kept.idle_retire) for rule, kept in self.destination.items()}
        return Policy(self.allow, self.deny, retire)


class Described(NamedTuple):
    """A setting, for people."""

    name: str
    kind: type
    """int, str, bool or tuple."""
    choices: tuple[str, ...]
    default: Any
    description: str

    @property
    def shown_default(self) -> str:
        """What holds if it is not set, for people."""
        if self.default in ((), False):
            return "default: none"
        shown = ",".join(self.default) if isinstance(self.default, tuple) else self.default
        return f"default: {shown}"


def described() -> Iterator[Described]:
    """Describe what may be a flag, in order; the types and texts are those of Settings."""
    for name, annotated in Settings.__annotations__.items():
        if name == "destination":
            continue
        kind, meta = annotated.__origin__, annotated.__metadata__[0]
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        default = _DEFAULTS[name]
        yield Described(name, type(default), choices, default, meta.description or "")


_DEFAULTS: Final = msgspec.structs.asdict(Settings())


def parse_nameserver(text: str) -> Destination:
    """Read ADDRESS[:PORT], IPv4 only; raises ValueError."""
    try:
        address, port = split_port(text)
    except ValueError:
        address, port = "", None
    if not is_ipv4(address):
        raise ValueError(f"{text!r} is not an IPv4 ADDRESS[:PORT]")
    return Destination(address, port or DNS_PORT)


_GATEWAY_KEYS: Final = {
    "mode": "gateway",
    "hosts": "gateway_hosts",
    "hold": "hold",
    "stream_silence": "stream_silence",
}
"""What may stand in the table [gateway], and the setting that it is."""


def from_toml(text: str, path: str) -> dict[str, Any]:
    """Read a config file; raises ConfigError with path, line and key."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    keys: dict[str, str] = {}  # of settings that the file calls by another name

    def place(key: str) -> str:
        return f"{path}:{_line_of(keys.get(key, key), text)}: "

    table = values.get("gateway")
    if isinstance(table, dict):
        del values["gateway"]
        for key, value in table.items():
            if key not in _GATEWAY_KEYS:
                cause = f"there is no such setting, but {', '.join(_GATEWAY_KEYS)}"
                raise ConfigError(f"{place(key)}gateway.{key}: {cause}")
            keys[_GATEWAY_KEYS[key]] = key
            values[_GATEWAY_KEYS[key]] = value
    _validate(values, place, strict=True)
    return values


def _line_of(key: str, text: str) -> int:
    """Find the line that sets `key`; 1 if none does."""
    pattern = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}\b")
    return next((n for n, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Read KEEPLINE_*; a list is separated by commas. Raises ConfigError."""
    values = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): text
        for name, text in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name != SESSION_VARIABLE
    }
    return from_words(values, lambda key: f"{ENVIRONMENT_PREFIX}{key.upper()}: ")


def from_words(values: Mapping[str, str], place: Callable[[str], str]) -> dict[str, Any]:
    """Convert words to their types: lists are separated by commas. Raises ConfigError."""
    lists = {name for name, default in _DEFAULTS.items() if isinstance(default, tuple)}
    split = {
        key: [part for part in text.split(",") if part] if key in lists else text
        for key, text in values.items()
    }
    return _validate(split, place, strict=False)


def _validate(
    values: Mapping[str, Any], place: Callable[[str], str], *, strict: bool
) -> dict[str, Any]:
    """Convert one key at a time, so that the mistake's key is known."""
    converted = {}
    for key, value in values.items():
        if key not in _DEFAULTS:
            raise ConfigError(f"{place(key)}{key}: there is no such setting")
        try:
            settings = msgspec.convert({key: value}, Settings, strict=strict)
        except msgspec.ValidationError as error:
            message = str(error).partition(" - at ")[0]
            raise ConfigError(f"{place(key)}{key}: {message}") from None
        converted[key] = getattr(settings, key)
    return converted


def merge(*sources: Mapping[str, Any]) -> Settings:
    """Make the settings of validated sources, a later one winning; raises ConfigError."""
    merged: dict[str, Any] = {}
    for source in sources:
        merged.update(source)
    settings = msgspec.convert(merged, Settings)
    if settings.dns == "real" and settings.policy().has_names:
        raise ConfigError(
            "allow and deny by name need dns = synthetic: a real address does not show its name"
        )
    if settings.home == "private" and not settings.strict:
        raise ConfigError("home = private needs strict: without it all files are the caller's own")
    return settings
