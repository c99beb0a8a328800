"""Why a destination may be reached or not, without asking anybody: rule, place, what changes it.

Pure.
"""

from collections.abc import Iterator
from typing import Final, assert_never

from netns.errors import KeeplineError
from relay.addresses import Destination, is_dialable, is_ipv4
from relay.policy import host_ports
from relay.policy.host_ports import HostItself, HostPorts
from relay.policy.index import Index
from relay.policy.policy import Limits, Policy, Verdict
from relay.policy.rules import Rule, one_host
from relay.policy.verdicts import Allow, ByAddress, Deny

_DEFAULT_PORT: Final = 443
_FORM: Final = "the form is keepline policy why HOST[:PORT]"
_SHOWN: Final = 5
"""Networks of a list that are named, at most."""
_SAMPLES: Final = (("private", "10.0.0.1"), ("link-local", "169.254.169.254"))
"""Addresses that a name might have, one of a kind."""


def parsed(text: str) -> Destination:
    """Read HOST[:PORT], by default port 443; raises KeeplineError."""
    try:
        host, port = one_host(text)
    except ValueError as error:
        raise KeeplineError(str(error), _FORM) from None
    return Destination(host, port or _DEFAULT_PORT)


def told(
    policy: Policy, destination: Destination, path: str, itself: HostItself, ports: HostPorts
) -> tuple[bool, Iterator[str]]:
    """Return whether a destination is denied, and the lines about it; `path`: config.toml's.

    What means the host, as `itself` tells, is judged by the ports that are open.
    """
    if itself.is_meant_by(destination.host):
        verdict: Verdict = host_ports.judge(destination, itself, ports, policy)
        return isinstance(verdict, Deny), host_lines(policy, destination, itself, ports, path)
    verdict = policy.decide(destination)
    return isinstance(verdict, Deny), lines(policy, destination, path)


def lines(policy: Policy, destination: Destination, path: str) -> Iterator[str]:
    """Yield the verdict, the rule behind it, and what would change it; `path`: config.toml's."""
    verdict = policy.decide(destination)
    match verdict:
        case Deny():
            yield f"{destination}: denied"
            yield from _denied(policy, verdict, destination, path)
        case ByAddress():
            yield f"{destination}: each address of the name decides, for no rule names it"
            yield from _by_address(policy, path)
        case Allow():
            yield f"{destination}: allowed"
            yield from _allowed(policy, destination, path)
            if not is_ipv4(destination.host):
                yield from _addresses(policy, destination)
        case _:
            assert_never(verdict)


def host_lines(
    policy: Policy, destination: Destination, itself: HostItself, ports: HostPorts, path: str
) -> Iterator[str]:
    """Yield the same of the host's loopback."""
    port = destination.port
    names = itself.names if destination.host in itself.names else (destination.host,)
    verdict, source = policy.judge_host_port(names, port), ports.why(port)
    is_denied = source is None or isinstance(verdict, Deny)
    yield f"{destination}: {'denied' if is_denied else 'allowed'}"
    if isinstance(verdict, Deny):
        yield f"  by the rule deny {verdict.told}{_at(verdict.source)}"
        yield f"  to allow it, take that rule out{_at(verdict.source, of=True)}"
    if source is None:
        yield "  inside, that is the session's own loopback: a server of the host's is not reached"
        yield f"  to reach it: --host-port {port}, or host_ports = [{port}] in {path}"
    else:
        yield f"  port {port} of the host's loopback is opened by {source}"
        yield "  a server that listens there inside comes first"
    if not is_denied:
        yield f"  to deny it: --deny localhost:{port}, or take it out of {source}"


def _denied(policy: Policy, deny: Deny, destination: Destination, path: str) -> Iterator[str]:
    if deny.is_by_rule:
        yield f"  by the rule deny {deny.told}{_at(deny.source)}"
        yield f"  to allow it, take that rule out{_at(deny.source, of=True)}"
        return
    yield f"  {deny.told}"
    if is_ipv4(destination.host) and not is_dialable(destination.host):
        yield "  no rule opens it"
        return
    for limits in policy.limits:
        if isinstance(limits.judge(destination), Deny):
            yield f"  to allow it, {_addition(limits, destination, path)}"


def _by_address(policy: Policy, path: str) -> Iterator[str]:
    for limits in policy.limits:
        if limits.mode == "allowlist":
            yield f"  allowed are those in {_networks(limits.allow)}"
    if networks := _networks(policy.deny):
        yield f"  denied are those in {networks}"
    yield f"  keepline run --allow and --deny change that, or [policy] in {path}"


def _networks(rules: Index) -> str:
    found = [rule.text for rule in rules.rules if not rule.is_by_name]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _allowed(policy: Policy, destination: Destination, path: str) -> Iterator[str]:
    for limits in policy.limits:
        rule = limits.allow.match(*destination)
        if rule is not None and limits.mode == "allowlist":
            yield f"  by the rule allow {_told(rule)}{_at(rule.source)}"
    if policy.mode == "open":
        yield "  the mode is open, and no rule denies it"
    yield f'  to deny it: --deny {destination}, or deny = ["{_quoted(destination)}"] in {path}'


def _addresses(policy: Policy, destination: Destination) -> Iterator[str]:
    """Say what becomes of the name if its addresses are denied."""
    for kind, address in _SAMPLES:
        verdict = policy.judge_address(destination, address)
        if isinstance(verdict, Deny):
            by = f"deny {verdict.told}{_at(verdict.source)}" if verdict.is_by_rule else verdict.told
            yield f"  a {kind} address of it, such as {address}, is denied: {by}"


def _addition(limits: Limits, destination: Destination, path: str) -> str:
    """Return what would allow a destination, where the list stands."""
    sources = [rule.source for rule in limits.allow.rules if not rule.is_preset]
    where = sources[0] if sources else ""
    if not where and limits.mode == "open":  # or the rule would deny all else
        flags, line = f"--policy-mode open --allow {destination}", 'policy_mode = "open" and '
        return f'add {flags}, or {line}allow = ["{_quoted(destination)}"] in {path}'
    if not where:
        return f'add --allow {destination}, or allow = ["{_quoted(destination)}"] in {path}'
    if ":" in where:  # a file and line
        return f'add "{_quoted(destination)}" to the list at {where}'
    return f"add {destination} to {where}"


def _told(rule: Rule) -> str:
    return f"{rule.text} ({rule.reason})" if rule.reason else rule.text


def _at(source: str, *, of: bool = False) -> str:
    if not source:
        return ""
    return f" of {source}" if of else f", {source}"


def _quoted(destination: Destination) -> str:
    return str(destination).replace("\\", "\\\\").replace('"', '\\"')
