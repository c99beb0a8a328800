"""`keepline sidecar rules`: leads the connections of a pod's programs to its relay, and ends."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Final, TypeVar

from netns.network.pod import DNS_PORT, RELAY_UID, TCP_PORT, docker, installing
from netns.network.pod.asked import Asked
from netns.network.pod.refusal import RulesError
from relay import flags
from relay.addresses import MAX_PORT, parse_pool
from relay.printing import write_lines

DIFFERENT: Final = 1
"""The exit status of --check where the rules do not stand as they should."""

_LAST_UID: Final = 2**32 - 2
_Value = TypeVar("_Value")


def main(arguments: Sequence[str]) -> int:
    """Make, compare or remove the rules; return the exit status."""
    parsed = _parser().parse_args(arguments)
    if not parsed.force and not parsed.check and installing.is_machines_own():
        raise RulesError(
            "this is the machine's own network, not a pod's: everything on it would be led to"
            " the relay",
            "remove hostNetwork, or --network=host; or give --force, if the machine is this pod's"
            " alone, as with Kata",
        )
    if parsed.remove:
        return _remove(check=parsed.check)
    asked = _asked(parsed)
    if parsed.check:
        return _check(asked)
    require_mapped(asked.left_alone(), Path("/proc/self/uid_map").read_text())
    before = installing.install(asked)
    if before.stands:
        write_lines([f"the rules stand already, {len(before.standing)} parts"])
        return 0
    after = installing.compare(asked)
    if not after.stands:
        lines = "; ".join((*after.missing, *after.stale))
        raise RulesError(
            f"the rules were made and do not stand: {lines}", "look for what else changes them"
        )
    write_lines(
        [
            f"the rules stand, {len(after.standing)} parts: all but user {asked.relay_uid} comes to"
            f" 127.0.0.1:{TCP_PORT}, DNS to port {DNS_PORT}"
        ]
    )
    return 0


def _check(asked: Asked) -> int:
    """Say what would change, and change nothing."""
    state = installing.compare(asked)
    if state.stands:
        write_lines([f"the rules stand, {len(state.standing)} parts"])
        return 0
    write_lines([*(f"- {line}" for line in state.stale), *(f"+ {line}" for line in state.missing)])
    return DIFFERENT


def _remove(*, check: bool) -> int:
    """Take all rules away, or say which would go."""
    if check:
        standing = installing.standing()
        write_lines(f"- {line}" for line in standing)
        return DIFFERENT if standing else 0
    gone = installing.remove()
    write_lines([f"{len(gone)} parts of the rules are gone" if gone else "there were no rules"])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = flags.Parser(
        prog="keepline sidecar rules",
        description="Lead the TCP connections and DNS questions of this network namespace to the"
        " relay of `keepline sidecar relay`, and refuse all else that leaves. Needs NET_ADMIN.",
    )
    add = parser.add_argument
    add("--check", action="store_true", help="print what differs, change nothing; status 1 if so")
    add("--remove", action="store_true", help="take all rules away again")
    add("--uid", type=_uid, default=RELAY_UID, help=f"the relay's user ({RELAY_UID})")
    add("--dns-pool", metavar="NETWORK", help="as the relay has it")
    for what, kind, text in (
        ("cidr", _network, "destinations"),
        ("port", _ports, "TCP and UDP ports, or FIRST-LAST, of destinations"),
        ("uid", _uid, "users"),
    ):
        how = f"{text} that are left alone, as without rules; the relay does not see them"
        listed = _listed(kind)
        add(
            f"--exclude-{what}", action="extend", type=listed, default=[], metavar="X,...", help=how
        )
    add("--force", action="store_true", help="also on the machine's own network")
    return parser


def _asked(parsed: argparse.Namespace) -> Asked:
    """Return what the flags ask for, and the settings that the relay reads too."""
    pool = parse_pool(flags.settings(parsed).dns_pool)
    return Asked(
        parsed.uid,
        str(pool[1]),
        tuple(parsed.exclude_uid),
        _once(parsed.exclude_cidr),
        _once(parsed.exclude_port),
        _once(docker.asks(_resolv_conf())),
    )


def _once(values: Iterable[_Value]) -> tuple[_Value, ...]:
    """Return each value once: the kernel takes no rule of routing twice, ip-rule(8)."""
    return tuple(dict.fromkeys(values))


def _resolv_conf() -> str:
    """Read the file that the pod's programs have too; an empty one if there is none."""
    try:
        return Path("/etc/resolv.conf").read_text(errors="replace")
    except FileNotFoundError:
        return ""


def require_mapped(uids: Sequence[int], uid_map: str) -> None:
    """Raise RulesError if this user namespace, user_namespaces(7), has no such user."""
    extents = [tuple(map(int, line.split())) for line in uid_map.splitlines()]
    for uid in uids:
        if not any(first <= uid < first + count for first, _outside, count in extents):
            known = ", ".join(f"{first} to {first + count - 1}" for first, _, count in extents)
            raise RulesError(
                f"this user namespace has no user {uid}",
                f"--uid N, the relay's user, of {known}; or give the pod more ids",
            )


def _listed(kind: Callable[[str], _Value]) -> Callable[[str], list[_Value]]:
    """Return a reader of several values with commas between them."""

    def read(text: str) -> list[_Value]:
        return [kind(each.strip()) for each in text.split(",")]

    return read


def _uid(text: str) -> int:
    """Read a user's number; root is none that could be told from the programs of a pod."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _LAST_UID):
        raise argparse.ArgumentTypeError(f"{text!r} is no user's number from 1 to {_LAST_UID}")
    return int(text)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _ports(text: str) -> tuple[int, int]:
    """Read a port or a range of them."""
    first, dash, last = text.partition("-")
    ends = (first, last if dash else first)
    numbers = [int(each) for each in ends if each.isascii() and each.isdigit()]
    if len(numbers) == 2 and 1 <= numbers[0] <= numbers[1] <= MAX_PORT:
        return numbers[0], numbers[1]
    raise argparse.ArgumentTypeError(f"{text!r} is no port, or FIRST-LAST, from 1 to {MAX_PORT}")
