"""resolv.conf(5): read as glibc reads it, and rewritten for the namespace; pure.

A keyword counts only in the first column and before a space or tab. Every other line is ignored,
comments (# or ; in the first column) among them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from relay.addresses import numbers_and_dots

MAX_SERVERS = 3
"""MAXNS in <resolv.h>."""

DROPPED_OPTIONS = ("inet6", "rotate", "timeout:", "attempts:")
"""Beginnings of options, compared as glibc does, that make no sense in the namespace.

Its one name server has an IPv4 address. It passes the AD bit of the host's resolvers on, so that
`trust-ad` means what it means on the host.
"""

WAIT = "timeout:30 attempts:5"
"""As long as glibc can wait: the relay always answers, but in an outage only at its end."""

MUSL_SECONDS, MUSL_ATTEMPTS = 60, 10
"""What musl takes at most. Its time is that of all attempts together."""

DEFAULTS = {"timeout:": "5", "attempts:": "2"}
"""resolv.conf(5)."""

_MOST = {"timeout:": 30, "attempts:": 5}
"""RES_MAXRETRANS and RES_MAXRETRY of glibc."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the host's libc asks its servers."""

    timeout: int = 5
    """Seconds for one try."""
    attempts: int = 2
    rotate: bool = False
    """Whether each question begins with another server."""
    use_vc: bool = False
    """Whether only TCP is used: a virtual circuit."""

    @property
    def seconds(self) -> int:
        """How long a program waits where one server is silent."""
        return self.timeout * self.attempts


class ResolvConf(NamedTuple):
    """What a file says."""

    servers: tuple[str, ...]
    """IPv4 addresses, three at most; none if the file names IPv6 ones only."""
    options: Options = Options()


def parse(text: str) -> ResolvConf:
    """Read the servers in order, and how they are asked.

    A file that names no server means 127.0.0.1. With glibc IPv6 servers count among the three.
    Here they do not, so that an IPv4 server behind them is found.
    """
    lines = text.split("\n")
    values = [_name_server(line) for line in lines]
    servers = tuple(address for value in values if (address := numbers_and_dots(value)) is not None)
    if not servers and not any(map(_is_ipv6, values)):
        servers = ("127.0.0.1",)
    words = [word for line in lines for word in re.split("[ \t]", _value("options", line)) if word]
    return ResolvConf(servers[:MAX_SERVERS], _options(words))


def _options(words: Sequence[str]) -> Options:
    """Read options as glibc does: by how they begin, the last one counts, numbers have a limit."""
    numbers = {name: int(value) for name, value in DEFAULTS.items()}
    for word in words:
        for name, most in _MOST.items():
            if word.startswith(name):
                number = re.match("[0-9]{1,4}", word.removeprefix(name))
                numbers[name] = max(1, min(int(number.group()) if number else 0, most))
    return Options(
        numbers["timeout:"],
        numbers["attempts:"],
        any(word.startswith("rotate") for word in words),
        any(word.startswith("use-vc") for word in words),
    )


def for_namespace(text: str, address: str) -> str:
    """Return the same file with `address` as its only name server, and with long timeouts.

    Of two timeouts in a line musl takes the first, and all others take the last. musl waits for as
    long as it can too, and asks again whenever it would end alone: it takes errors for silence, and
    by asking again it shows that, relay/dns/insistence.py.

    Other readers (Go, c-ares) allow blanks before a keyword, so each line that any of them takes
    for a name server is replaced.
    """
    ours = f"nameserver {address}"
    pause = int(DEFAULTS["timeout:"])
    lines: list[str] = []
    for line in text.split("\n"):
        match line.split():
            case ["nameserver", *_]:
                if ours not in lines:
                    lines.append(ours)
            case ["options", *options] if any(map(_is_dropped, options)):
                pause = _pause(options, pause)
                kept = [option for option in options if not _is_dropped(option)]
                if kept:
                    lines.append(" ".join(["options", *kept]))
            case _:
                lines.append(line)
    if ours not in lines:
        lines.insert(0, ours)
    return "\n".join(lines).rstrip("\n") + f"\noptions {_musl(pause)} {WAIT}\n"


def _musl(pause: int) -> str:
    """Return the options of musl by which it asks every so many seconds, as long as it can."""
    attempts = min(MUSL_SECONDS // pause, MUSL_ATTEMPTS)
    return f"timeout:{attempts * pause} attempts:{attempts}"


def _pause(options: Sequence[str], before: int) -> int:
    """Return for how long musl asks on this host, the first `timeout:` of a line.

    In a line of ours, where keepline runs inside of keepline, that is the time of one attempt.
    """
    first = {
        name: int(option.removeprefix(name))
        for option in reversed(options)
        for name in DEFAULTS
        if option.startswith(name) and re.fullmatch("[0-9]{1,4}", option.removeprefix(name))
    }
    seconds = first.get("timeout:", before)
    if " ".join(options).endswith(WAIT):
        seconds //= max(1, first["attempts:"])
    return max(1, min(seconds, MUSL_SECONDS))


def _is_dropped(option: str) -> bool:
    return option.startswith(DROPPED_OPTIONS)


def _value(keyword: str, line: str) -> str:
    """Return what follows a keyword that begins the line, "" if another one does."""
    is_it = line.startswith((f"{keyword} ", f"{keyword}\t"))
    return line[len(keyword) :].strip(" \t") if is_it else ""


def _name_server(line: str) -> str:
    """Return the value of a nameserver line, "" for any other; trailing words are ignored."""
    return re.split("[ \t]", _value("nameserver", line))[0]


def _is_ipv6(value: str) -> bool:
    try:
        IPv6Address(value)
    except AddressValueError:
        return False
    return True
