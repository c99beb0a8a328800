"""Which resolvers are asked without EDNS, and for how long."""

from relay.addresses import Destination
from relay.dns.lookup.edns import KEPT, EdnsMemory

ONE, OTHER = Destination("192.0.2.1", 53), Destination("192.0.2.2", 53)


def test_a_failure_is_kept_for_one_server_and_a_while() -> None:
    edns = EdnsMemory()
    assert edns.is_borne(ONE, 0)
    edns.failed(ONE, 0)
    assert not edns.is_borne(ONE, KEPT - 1)
    assert edns.is_borne(OTHER, 0)
    assert edns.is_borne(ONE, KEPT)


def test_one_silence_may_be_a_lost_datagram() -> None:
    edns = EdnsMemory()
    edns.was_silent(ONE, 0)
    edns.worked(ONE)
    edns.was_silent(ONE, 1)
    assert edns.is_borne(ONE, 1)
    edns.was_silent(ONE, 2)
    assert not edns.is_borne(ONE, 2)


def test_another_network_is_another_matter() -> None:
    edns = EdnsMemory()
    edns.was_silent(OTHER, 0)
    edns.failed(ONE, 0)
    edns.forget()
    assert edns.is_borne(ONE, 0)
    edns.was_silent(OTHER, 1)
    assert edns.is_borne(OTHER, 1)
