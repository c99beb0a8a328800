"""resolv.conf(5): read as glibc reads it, and rewritten for the namespace; pure.

A keyword counts only in the first column and before a space or tab. Every other line is ignored,
comments (# or ; in the first column) among them.
"""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address

from relay.addresses import is_ipv4

MAX_SERVERS = 3
"""MAXNS in <resolv.h>."""

DROPPED_OPTIONS = ("inet6", "rotate", "trust-ad", "timeout:", "attempts:")
"""Beginnings of options, compared as glibc does, that make no sense in the namespace.

Its one name server has an IPv4 address and validates nothing.
"""

WAIT = "timeout:30 attempts:5"
"""As long as glibc can wait: the relay always answers, but in an outage only at its end."""

DEFAULTS = {"timeout:": "5", "attempts:": "2"}
"""resolv.conf(5)."""


def parse(text: str) -> tuple[str, ...]:
    """Return the IPv4 name servers in order, three at most; none if the file names IPv6 ones only.

    A file that names none at all means 127.0.0.1. With glibc IPv6 servers count among the three.
    Here they do not, so that an IPv4 server behind them is found.
    """
    values = [_name_server(line) for line in text.split("\n")]
    ipv4 = tuple(value for value in values if is_ipv4(value))
    if not ipv4 and not any(map(_is_ipv6, values)):
        return ("127.0.0.1",)
    return ipv4[:MAX_SERVERS]


def for_namespace(text: str, address: str) -> str:
    """Return the same file with `address` as its only name server, and with long timeouts.

    Of two timeouts in a line musl takes the first, and all others take the last. musl gets the
    host's: it takes REFUSED and SERVFAIL for silence, and so would wait for longer than without
    keepline for each name that fails.

    Other readers (Go, c-ares) allow blanks before a keyword, so each line that any of them takes
    for a name server is replaced.
    """
    ours = f"nameserver {address}"
    of_host = dict(DEFAULTS)
    lines: list[str] = []
    for line in text.split("\n"):
        match line.split():
            case ["nameserver", *_]:
                if ours not in lines:
                    lines.append(ours)
            case ["options", *options] if any(map(_is_dropped, options)):
                of_host |= _times(options)
                kept = [option for option in options if not _is_dropped(option)]
                if kept:
                    lines.append(" ".join(["options", *kept]))
            case _:
                lines.append(line)
    if ours not in lines:
        lines.insert(0, ours)
    times = "".join(f"{name}{value} " for name, value in of_host.items())
    return "\n".join(lines).rstrip("\n") + f"\noptions {times}{WAIT}\n"


def _times(options: Sequence[str]) -> dict[str, str]:
    """Return the first value of `timeout:` and of `attempts:` that is a number."""
    return {
        name: option.removeprefix(name)
        for option in reversed(options)
        for name in DEFAULTS
        if option.startswith(name) and re.fullmatch("[0-9]{1,4}", option.removeprefix(name))
    }


def _is_dropped(option: str) -> bool:
    return option.startswith(DROPPED_OPTIONS)


def _name_server(line: str) -> str:
    """Return the value of a nameserver line, "" for any other; trailing words are ignored."""
    if not line.startswith(("nameserver ", "nameserver\t")):
        return ""
    words = line.replace("\t", " ").split(" ")
    return next((word for word in words[1:] if word), "")


def _is_ipv6(value: str) -> bool:
    try:
        IPv6Address(value)
    except AddressValueError:
        return False
    return True
