"""DNS queries as programs send them, and what is left of them after something went wrong."""

import random
from typing import Any

import dns.message
from hypothesis import strategies as st


def wire(name: str = "www.example", rdtype: str = "A", **options: Any) -> bytes:
    return dns.message.make_query(name, rdtype, **options).to_wire()


def mutated(data: bytes, seed: int) -> bytes:
    """Cut, flip, insert and repeat a few bytes."""
    chance = random.Random(seed)
    packet = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(packet) + 1)
        match chance.randrange(4):
            case 0:
                del packet[at:]
            case 1:
                packet[at : at + 1] = chance.randbytes(1)
            case 2:
                packet[at:at] = chance.randbytes(chance.randrange(8))
            case _:
                packet[at:at] = packet[at : at + 12]
    return bytes(packet)


QUERIES = st.builds(
    wire,
    name=st.sampled_from(
        ["www.example", r"a\.b\000\255.example", "x.localhost", "0.1.18.198.in-addr.arpa", "."]
    ),
    rdtype=st.sampled_from(["A", "AAAA", "ANY", "PTR", "HTTPS", "MX", "TYPE65280", "AXFR"]),
    use_edns=st.sampled_from([None, 0, 1]),
)
PACKETS = (
    st.binary(max_size=80)
    | QUERIES
    | st.builds(mutated, QUERIES, st.integers(min_value=0, max_value=1 << 32))
)
