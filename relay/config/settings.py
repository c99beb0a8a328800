"""All settings of a session, frozen: their types, bounds, defaults and help; pure."""

from typing import Annotated, Any, Final, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta

from netns.errors import KeeplineError
from relay.addresses import (
    DEFAULT_POOL,
    DNS_PORT,
    Destination,
    is_ipv4,
    parse_destination,
    parse_pool,
    split_port,
)
from relay.config import publishing
from relay.config.entries import Entry, Project, require_others, rules
from relay.policy import presets
from relay.policy.host_ports import PortRange
from relay.policy.policy import Mode, Policy, Preset, Private, Terms

GatewayMode: TypeAlias = Literal["tls", "http"]
"""How programs reach the gateway: by certificates made for its hosts, or by a base URL."""

Hold: TypeAlias = Literal["message", "block", "none"]
"""What of a streamed answer is held until it is complete: all, all but its first block, nothing."""

Share: TypeAlias = Literal[
    "session-bus", "docker", "podman", "ssh-agent", "gpg-agent", "x11", "wayland"
]
"""What --strict puts out of reach and can leave within it: a service of the host, by its socket."""

PolicyMode: TypeAlias = Literal["auto", "open", "allowlist"]
"""Whether what no rule names may be reached."""

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
_Rules: TypeAlias = tuple[str | Entry, ...]


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
    allow: Annotated[_Rules, _help("destinations that may be reached, HOST[:PORT]")] = ()
    deny: Annotated[_Rules, _help("destinations that may not be reached, HOST[:PORT]")] = ()
    policy_mode: Annotated[
        PolicyMode,
        _help(
            "whether what no rule names may be reached; auto: allowlist if there is any allow"
            " rule or preset, else open"
        ),
    ] = "auto"
    presets: Annotated[
        tuple[Preset, ...], _help("lists of what may be reached: see keepline policy presets")
    ] = ()
    private: Annotated[
        Private,
        _help("private addresses in mode open; deny: only those that an allow rule opens"),
    ] = "allow"
    host_ports: Annotated[
        tuple[int | str | PortRange, ...],
        _help("ports of the host's loopback that may be reached, PORT or FIRST-LAST"),
    ] = ()
    auto_ports: Annotated[
        bool,
        _help(
            "whether ports of the host's loopback are open by themselves: those of editors, and of"
            " servers that the environment and agents' settings name"
        ),
    ] = True
    publish: Annotated[
        str | _Texts,
        _help(
            "servers inside that the host reaches, [[ADDRESS:]PORT:]PORT, the host's first; auto:"
            " what listens, at loopback, but not with strict or an allowlist; on: there too; off"
        ),
    ] = (publishing.AUTO,)
    intercept: Annotated[
        Literal["auto", "tproxy", "redirect", "ports", "proxy"],
        _help(
            "how connections are caught; auto takes the first that works of these but proxy, with"
            " which none are caught: programs are told of a proxy, and go past it if they ignore it"
        ),
    ] = "auto"
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...],
        Meta(max_length=250, description="the ports that intercept = ports can catch"),
    ] = ()
    proxy: Annotated[
        str,
        _help(
            "the way out: URL of a proxy, http://, https:// or socks5://; auto: those of"
            " HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; off: direct, and these are left to programs"
        ),
    ] = "auto"
    proxy_dns: Annotated[
        bool, _help("resolve names here, not at the proxy, and ask it for addresses")
    ] = False
    proxy_command: Annotated[
        str, _help("command that prints USER:PASSWORD for the proxy, run before the start")
    ] = ""
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
    relay: Annotated[
        str, _help("socket of a keepline relay outside of this container, which does the relaying")
    ] = ""
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

    projects: tuple[Project, ...] = ()
    """What the files of the project ask for."""

    def __post_init__(self) -> None:
        """Check what types cannot express; raises ValueError."""
        require_others(rules(self.allow))
        rules((*self.deny, *self.destination))
        parse_pool(self.dns_pool)
        self._listed_ports()
        self.published()
        for server in self.nameservers:
            parse_nameserver(server)
        for host in self.gateway_hosts:
            try:
                parse_destination(host, _HTTPS_PORT)
            except ValueError as error:
                raise ValueError(f"{host!r} {error}") from None

    @property
    def has_rules(self) -> bool:
        """Whether anything is denied that could be dialled otherwise."""
        rules_of_lists = self.allow or self.deny or self.presets or self.projects
        return bool(rules_of_lists) or self.private == "deny" or self.strict

    def told_rules(self) -> str:
        """Return for people what is denied; empty if nothing is."""
        if not self.has_rules:
            return ""
        has_list = self.allow or self.presets
        is_list = self.policy_mode == "allowlist" or (self.policy_mode == "auto" and has_list)
        told = [f"mode {'allowlist' if is_list else 'open'}"]
        told += [f"{name} rules: {len(each)}" for name, each in self._lists() if each]
        told += [f"preset {name}" for name in self.presets]
        if is_list or self.private == "deny" or self.strict:
            told.append("private addresses denied unless a rule opens them")
        told += [f"tightened by {project.path}" for project in self.projects]
        return ", ".join(told)

    def _lists(self) -> tuple[tuple[str, _Rules], ...]:
        return ("allow", self.allow), ("deny", self.deny)

    def opened_ports(self) -> tuple[PortRange, ...]:
        """Return the ports of the host's loopback that are open, those of presets too."""
        of_presets = (each for name in self.presets for each in presets.load(name).host_ports)
        return (*self._listed_ports(), *of_presets)

    def _listed_ports(self) -> tuple[PortRange, ...]:
        """Read the ports that are listed; raises ValueError. No preset is read for that."""
        return tuple(
            PortRange.parse(str(each), each.source if isinstance(each, PortRange) else "")
            for each in self.host_ports
        )

    def opens_ports_itself(self) -> bool:
        """Return whether ports of the host are opened that nobody listed: not beside a list."""
        return self.auto_ports and not self.strict and not self.policy().is_allowlist

    def published(self) -> publishing.Published:
        """Return what the host is to reach inside; raises ValueError."""
        published = publishing.read(self.publish)
        is_off = any(project.is_unpublished for project in self.projects)
        return published._replace(mode=publishing.OFF) if is_off else published

    def policy(self) -> Policy:
        """Make the policy of the session."""
        allow = rules(self.allow)
        for name in self.presets:
            allow += presets.load(name).allow
        # A preset that has ports of the host alone is a list all the same.
        of_lists: Mode | None = "allowlist" if self.presets else None
        policy = Policy(
            allow,
            rules(self.deny),
            {rule: float(kept.idle_retire) for rule, kept in self.destination.items()},
            terms=Terms(
                mode=of_lists if self.policy_mode == "auto" else self.policy_mode,
                private=self.private,
                is_strict=self.strict,
            ),
        )
        for project in self.projects:
            policy = policy.narrowed(project.policy())
        return policy


OF_FILES_ALONE: Final = frozenset({"destination", "projects"})
"""Settings that are no flags."""

DEFAULTS: Final = msgspec.structs.asdict(Settings())


def parse_nameserver(text: str) -> Destination:
    """Read ADDRESS[:PORT], IPv4 only; raises ValueError."""
    try:
        address, port = split_port(text)
    except ValueError:
        address, port = "", None
    if not is_ipv4(address):
        raise ValueError(f"{text!r} is not an IPv4 ADDRESS[:PORT]")
    return Destination(address, port or DNS_PORT)


def words(name: str) -> tuple[str, ...]:
    """Return the words that a setting, or each of its list, is one of; none if it may be any."""
    kind: Any = Settings.__annotations__[name]
    while kind is not None and get_origin(kind) is not Literal:
        kind = next(iter(get_args(kind)), None)
    return get_args(kind)
