"""HPACK without a table: any peer reads what was said, and nobody may index it."""

import hpack
from hypothesis import given
from hypothesis import strategies as st

from relay.gateway.upstream.hpack_encoder import Encoder

FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b":path", b":method", b"accept", b"x-app", b"x-api-key"]),
        st.one_of(st.sampled_from([b"POST", b"/", b""]), st.binary(max_size=300)),
    )
)


SIZES = st.lists(st.sampled_from([0, 100, 4096]), max_size=3)


@given(st.lists(st.tuples(FIELDS, SIZES)))
def test_what_is_said_is_read(requests: list[tuple[list[tuple[bytes, bytes]], list[int]]]) -> None:
    """Whatever sizes the peer gives its table meanwhile."""
    ours, theirs = Encoder(), hpack.Decoder()
    for fields, sizes in requests:
        for size in sizes:
            theirs.max_allowed_table_size = ours.header_table_size = size
        read = theirs.decode(ours.encode(fields), raw=True)
        assert [tuple(field) for field in read] == fields
        assert not theirs.header_table.dynamic_entries


def test_a_secret_may_be_indexed_nowhere() -> None:
    (read,) = hpack.Decoder().decode(Encoder().encode([(b"x-api-key", b"no")]), raw=True)
    assert isinstance(read, hpack.NeverIndexedHeaderTuple)


def test_a_field_is_always_the_same_bytes() -> None:
    fields = [(b"x-app", b"cli"), (b":method", b"POST")]
    encoder = Encoder()
    assert encoder.encode(fields) == encoder.encode(fields) == Encoder().encode(fields)


def test_hpack_alone_still_forgets_a_size_that_came_twice() -> None:
    """Once this fails, Encoder need not set what hpack looks at."""
    alone, ours = hpack.Encoder(), Encoder()
    for size in (100, 200, 200):
        alone.header_table_size = ours.header_table_size = size
    assert alone.encode([]) == b""
    assert ours.encode([]) == bytes([0x3F, 100 - 31, 0x3F, 0x80 | (200 - 31 - 128), 1])
