"""The resolver and the name server of a session: all that needs dnspython, to be imported late."""

from collections.abc import Callable
from pathlib import Path

import trio

from netns.mounts import RESOLV_CONF
from relay.config import Settings, nameserver
from relay.dns.lookup.resolver import DEFAULT_TIMEOUTS, Resolver, ResolverTimeouts
from relay.dns.nameserver import NameServer
from relay.dns.responder import Responder
from relay.dns.synthetic import SyntheticAddresses
from relay.host.resolvers import HostResolvers
from relay.policy.rules import Policy
from relay.record.events import Event


def build(
    settings: Settings,
    policy: Policy,
    synthetic: SyntheticAddresses,
    record: Callable[[Event], None],
    nursery: trio.Nursery,
) -> tuple[Resolver, NameServer]:
    """Make both; the resolver runs its lookups in the nursery."""
    configured = tuple(map(nameserver, settings.nameservers))
    of_host = HostResolvers(Path(RESOLV_CONF), record)
    limit = settings.patience
    timeouts = ResolverTimeouts(outage=limit, failing=min(DEFAULT_TIMEOUTS.failing, limit))
    resolver = Resolver(lambda: configured or of_host(), record, nursery, timeouts=timeouts)
    responder = Responder(resolver, synthetic, policy.denied_name, record, settings.dns)
    return resolver, NameServer(responder)
