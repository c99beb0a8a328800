"""What a session asked for, and what of it was denied."""

from relay.record.events import (
    AnyEvent,
    ConnectionDenied,
    ConnectionOpened,
    InnerDiffers,
    InnerSeen,
    LookupFailed,
    NameAssigned,
    NameRefused,
    SessionEnded,
    UpstreamOpened,
)
from relay.record.kinds import Kind
from relay.record.story.asked import asked


def opened(number: int, name: str | None, port: int, address: str = "198.18.0.2") -> AnyEvent:
    return ConnectionOpened(at=1, connection=number, address=address, port=port, name=name)


def denied(number: int, kind: Kind = Kind.POLICY) -> AnyEvent:
    return ConnectionDenied(at=1, connection=number, kind=kind, rule="x")


def assigned(name: str) -> AnyEvent:
    return NameAssigned(at=1, name=name, address="198.18.0.2")


def test_names_and_addresses_with_their_ports() -> None:
    found = asked([
        assigned("a.test"), opened(1, "a.test", 443), opened(2, "a.test", 80),
        opened(3, None, 22, "10.0.0.1"), assigned("only.looked.up"),
        LookupFailed(at=1, name="none.test", type="A", cause="NXDOMAIN", kind=Kind.NAME_FAILURE),
        UpstreamOpened(at=1, connection=4, host="api.test", port=443),
        SessionEnded(at=2, status=0, connections=3, seconds=1),
    ])  # fmt: skip
    assert found.ports == {
        "a.test": {443, 80},
        "10.0.0.1": {22},
        "api.test": {443},
        "only.looked.up": set(),
        "none.test": set(),
    }
    assert not found.denied


def test_what_was_denied_is_not_needed() -> None:
    found = asked([
        assigned("a.test"), opened(1, "a.test", 443), denied(1),
        assigned("b.test"), opened(2, "b.test", 443), opened(3, "b.test", 80), denied(3),
        opened(4, None, 80, "198.18.0.9"), denied(4, Kind.UNDIALABLE), denied(5),
        NameRefused(at=1, name="c.test", type="A", kind=Kind.POLICY, rule="x"),
    ])  # fmt: skip
    assert found.ports == {"b.test": {443}}
    assert list(found.denied) == ["a.test:443", "b.test:80", "c.test"]


def test_names_within_connections_to_names_are_needed_too() -> None:
    found = asked([
        opened(1, "a.test", 443), InnerSeen(at=1, connection=1, inner="b.test"),
        opened(2, None, 443, "10.0.0.1"), InnerSeen(at=1, connection=2, inner="c.test"),
        opened(3, "a.test", 80), InnerSeen(at=1, connection=3, inner="evil.test"),
        InnerDiffers(at=1, connection=3, inner="evil.test", kind=Kind.POLICY, rule="evil.test"),
        InnerSeen(at=1, connection=4, inner="d.test"),
    ])  # fmt: skip
    assert found.ports == {"a.test": {443, 80}, "10.0.0.1": {443}, "b.test": {443}}
    assert list(found.denied) == ["evil.test:80"]
