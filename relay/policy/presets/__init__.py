"""Lists of what a program needs, by name: each is a data file beside this one.

They name hosts that belong to one service, at the ports that it has, and never whole domains in
which anybody may have a host, but where their text says so. A file has them by zone, as HOST:PORT
below it; the words of `each`, such as regions, stand in turn for the `{}` of a host. `host_ports`
are those of services that run on the caller's own machine.
"""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple, get_args

from relay.policy.host_ports import PortRange
from relay.policy.policy import Preset
from relay.policy.rules import Rule

PRESETS: Final[tuple[Preset, ...]] = get_args(Preset)


class Loaded(NamedTuple):
    """A preset."""

    about: str
    """Whom it is for."""
    allow: tuple[Rule, ...]
    host_ports: tuple[PortRange, ...]
    """Of the host's loopback."""


@cache
def load(name: Preset) -> Loaded:
    """Read a preset."""
    with open(f"{__path__[0]}/{name}.toml", encoding="utf-8") as file:  # noqa: PTH123 - is quick
        read = tomllib.loads(file.read())
    source = f"preset {name}"
    rules = (
        Rule.parse(text, source=source, reason=entry.get("reason", ""), is_preset=True)
        for entry in read.get("allow", ())
        for text in _hosts(entry["zone"], entry["hosts"], entry.get("each", ("",)))
    )
    ports = (PortRange.parse(str(port), source) for port in read.get("host_ports", ()))
    return Loaded(read["about"], tuple(rules), tuple(ports))


def lines() -> Iterator[str]:
    """Yield each preset with its rules."""
    for name in PRESETS:
        about, rules, ports = load(name)
        yield f"{name}: {about}"
        for rule in rules:
            yield f"  {rule.text}" + (f"  ({rule.reason})" if rule.reason else "")
        yield from (f"  port {port} of the host's loopback" for port in ports)


def _hosts(zone: str, hosts: Sequence[str], each: Sequence[str]) -> Iterator[str]:
    """Return the hosts of an entry, whole."""
    for host in hosts:
        name, _, port = host.partition(":")
        for word in each:
            yield f"{name.replace('{}', word)}.{zone}:{port}"
