"""Connections to an API's host that no gateway reads are told of, each host once."""

from relay.addresses import Destination
from relay.gateway.unused import Unused
from relay.policy.verdicts import Deny
from relay.record.events import Event, GatewayUnused
from relay.record.kinds import Kind
from relay.tcp.handlers import RefusalHandler

API = Destination("api.anthropic.com", 443)
PAST = RefusalHandler(API, Deny("a test"), Kind.POLICY)


def test_the_first_connection_to_each_host_is_told() -> None:
    events: list[Event] = []
    unused = Unused(events.append, "gateway = off", by_choice=True)
    for destination in (API, API, Destination("www.example", 443), Destination("192.0.2.1", 443)):
        assert unused.handler_at(destination, PAST) is None
    assert events == [GatewayUnused(host=API.host, why="gateway = off", by_choice=True)]


def test_what_is_served_is_not_told() -> None:
    events: list[Event] = []
    handler = object()
    unused = Unused(events.append, "", served=lambda _destination, _past: handler)  # type: ignore[arg-type, return-value]
    assert unused.handler_at(API, PAST) is handler
    assert events == []
