"""What changes a failure of each kind: the flag, the rule or the setting, or what else to do. Pure.

Each setting is also a line of config.toml and a variable, README.md has them.
"""

from typing import Final, NamedTuple

from relay.record.kinds import Kind


class Advice(NamedTuple):
    """What to do about a kind of failure."""

    text: str
    settings: tuple[str, ...] = ()
    """The flags that change it, for the line at the end."""


GATEWAY_OFF: Final = Advice(
    "--gateway=tls has keepline ask again for an answer that is lost, before the program sees it",
    ("--gateway=tls",),
)
"""For a loss on a connection to an API's host that the gateway did not serve."""

_RESOLVERS: Final = "--nameservers ADDRESS names other resolvers; keepline doctor asks all of them"
_RULES: Final = "--allow HOST[:PORT] adds a destination, --deny HOST[:PORT] forbids one and wins"
_WAIT: Final = "--patience N waits for N seconds"
_AS_IT_IS: Final = "--gateway=off leaves HTTP to the program"
_HOLD: Final = "--hold=message shows an answer once it is complete, and asks again unseen before"
_NOT_OURS: Final = "the other side ended it, or a device on the way: nothing here prevents it"
_PROGRAM: Final = "its own time-out was shorter than --patience: raise it in the program"

ADVICE: Final[dict[Kind, Advice]] = {
    Kind.UNKNOWN: Advice("keepline log has what is known of it"),
    Kind.OTHER: Advice("keepline explain -v has the system's error"),
    Kind.REFUSED: Advice(
        "nobody listens there: start the server, or check host and port; --host-port PORT opens one"
        " that the host has on 127.0.0.1"
    ),
    Kind.RESET: Advice(_NOT_OURS),
    Kind.CLOSED: Advice(_NOT_OURS),
    Kind.TIMEOUT: Advice(_WAIT, ("--patience",)),
    Kind.UNREACHABLE: Advice(f"{_WAIT}; ip route shows what this host can reach", ("--patience",)),
    Kind.ADDRESS_GONE: Advice("no connection outlives its address: repeat what was cut off"),
    Kind.SILENT: Advice("--user-timeout N lets data be unanswered for longer", ("--user-timeout",)),
    Kind.FORGOTTEN: Advice(
        "--keepidle N probes sooner, so that a NAT remembers; idle_retire closes it before that",
        ("--keepidle",),
    ),
    Kind.RESOURCES: Advice("ulimit -Hn is the limit of descriptors: raise it", ("ulimit -Hn",)),
    Kind.BOUND: Advice("a bound of keepline's own, which nothing changes: fewer at a time"),
    Kind.NOT_PERMITTED: Advice("a firewall forbids it, this host's own or one on the way"),
    Kind.TAMPERED: Advice("the log is the user's own file: what runs as another cannot change it"),
    Kind.RULES: Advice(
        "keepline sidecar rules makes them, and --check shows what there is; they leave the relay's"
        " user alone, and no other"
    ),
    Kind.DEFECT: Advice(
        "a fault is a defect of keepline: please report it with keepline explain -v"
    ),
    Kind.NAME_FAILURE: Advice(f"check the name; {_RESOLVERS}", ("--nameservers",)),
    Kind.CHANNEL: Advice(
        "names carry data out, so few may leave where only what is allowed may be reached: a name"
        " that --allow NAME writes out is not counted",
        ("--allow NAME",),
    ),
    Kind.NO_RESOLVER: Advice(_RESOLVERS, ("--nameservers",)),
    Kind.TLS: Advice(_AS_IT_IS, ("--gateway=off",)),
    Kind.UNTRUSTED: Advice(
        "SSL_CERT_FILE and NODE_EXTRA_CA_CERTS name authorities; --gateway=http needs none inside",
        ("--gateway=http",),
    ),
    Kind.MALFORMED: Advice(f"{_AS_IT_IS}; {_RESOLVERS}", ("--gateway=off", "--nameservers")),
    Kind.FLOOD: Advice(
        f"the server sends what carries no answer: a defect of its own, or an attack; {_AS_IT_IS}",
        ("--gateway=off",),
    ),
    Kind.UNTRANSLATABLE: Advice(_AS_IT_IS, ("--gateway=off",)),
    Kind.NOT_PROCESSED: Advice("the server was asked until it was clear that it does not answer"),
    Kind.STATUS: Advice(_HOLD, ("--hold=message",)),
    Kind.API_ERROR: Advice(_HOLD, ("--hold=message",)),
    Kind.ENDED_EARLY: Advice(_HOLD, ("--hold=message",)),
    Kind.PROXY_CREDENTIALS: Advice(
        "for basic: USER:PASSWORD@ in the proxy's URL, or proxy_command in config.toml; for ntlm"
        " and negotiate: run px or cntlm on this host, and name it: --proxy http://127.0.0.1:3128",
        ("--proxy",),
    ),
    Kind.PROXY_DENIED: Advice(
        "the proxy's owner decides that; NO_PROXY names what is reached without it, --proxy off"
        " leaves the proxy to programs",
        ("--proxy", "NO_PROXY"),
    ),
    Kind.PROXY_FAILED: Advice(
        "the server is down, or out of the proxy's reach: NO_PROXY names what is reached without",
        ("NO_PROXY",),
    ),
    Kind.POLICY: Advice(_RULES, ("--allow", "--deny")),
    Kind.SETTING: Advice("mend the file; what allows more than before holds in the next session"),
    Kind.UNDIALABLE: Advice(
        "an address that stands for a name does so in its own session: look the name up again, or"
        " use --dns real",
        ("--dns real",),
    ),
    Kind.RETIRED: Advice('idle_retire under [destination."RULE"] in config.toml closes it'),
    Kind.PROGRAM_GONE: Advice(_PROGRAM),
    Kind.CANCELLED: Advice(_PROGRAM),
    Kind.SESSION_END: Advice(
        "the command ended meanwhile, often by its own time-out: raise it there; --linger stays for"
        " the processes that it leaves behind"
    ),
}
