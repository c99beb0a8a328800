"""/proc/net/tcp: who has closed its side is told by state and endpoints."""

from relay.inbound.tcp_table import closed_by_their_side

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def row(state: str) -> str:
    return f"   0: 010012C6:9C40 0A7100CB:01BB {state} 00000000:00000000 00:00000000 00000000 0\n"


def test_only_closed_sides_are_told() -> None:
    assert closed_by_their_side("") == frozenset()
    for state in ("01", "02", "06", "07", "08", "0A"):
        assert closed_by_their_side(HEADER + row(state)) == frozenset()
    ends = (("198.18.0.1", 40000), ("203.0.113.10", 443))
    for state in ("04", "05", "09", "0B"):
        assert closed_by_their_side(HEADER + row(state)) == {ends}
