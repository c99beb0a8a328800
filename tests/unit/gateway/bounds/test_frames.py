"""What frames cost, however they are cut."""

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from relay.gateway.bounds.bucket import OF_PIECE, UNIT
from relay.gateway.bounds.frames import FIELDS, Frames
from tests.support.buffers import CUTS, cut

AWAITED = {1}


def padded(data: bytes, size: int, stream: int = 1) -> DataFrame:
    frame = DataFrame(stream, data, pad_length=size)
    frame.flags.add("PADDED")
    return frame


def settings(count: int) -> SettingsFrame:
    return SettingsFrame(settings=dict.fromkeys(range(1000, 1000 + count), 1))


EACH: list[tuple[bytes, float]] = [
    (PingFrame(opaque_data=b"12345678").serialize(), 1),
    (settings(0).serialize(), 1),
    (settings(7).serialize(), 8),
    (PriorityFrame(5).serialize(), 1),
    (RstStreamFrame(5).serialize(), 1),
    (WindowUpdateFrame(0, window_increment=1).serialize(), 1),
    (GoAwayFrame(last_stream_id=1).serialize(), 1),
    (HeadersFrame(1, b"").serialize(), 1),
    (HeadersFrame(1, b"x" * 3 * FIELDS).serialize(), 4),
    (ContinuationFrame(1).serialize(), 1),
    (b"\0\0\5\xbe\0\0\0\0\0xxxxx", 1),  # of a type that is not known
    (b"\0\0\0\xbe\0\x80\0\0\1", 1),  # the same, with the bit that is reserved
    (DataFrame(1, b"").serialize(), 1),
    (DataFrame(1, b"x").serialize(), (8 + OF_PIECE) / UNIT),
    (DataFrame(1, b"x" * (9 + OF_PIECE)).serialize(), 0),
    (DataFrame(1, b"x" * 16384).serialize(), 0),
    (padded(b"", 200).serialize(), 1),
    (padded(b"", 255).serialize(), 2),
    (padded(b"x", 0).serialize(), (9 + OF_PIECE) / UNIT),
    (padded(b"x" * 500, 200).serialize(), 0),
    (DataFrame(3, b"x" * 2 * UNIT).serialize(), 3),  # nobody waits for it
    (b"\0\0\0\0\x08\0\0\0\1", 1),  # padded, without a length of the padding
    (b"\0\0\1\0\x08\0\0\0\1\xff", 1),  # more padding than there is
]


def test_each_frame_has_its_price() -> None:
    for data, cost in EACH:
        assert Frames().costs(data, AWAITED) == ([(0, cost)] if cost else []), data


@given(st.lists(st.sampled_from(EACH), max_size=12), CUTS)
def test_it_does_not_matter_how_frames_are_cut(
    sent: list[tuple[bytes, float]], cuts: list[int]
) -> None:
    whole = b"".join(data for data, _ in sent)
    frames, found, begin = Frames(), [], 0
    for piece in cut(whole, cuts):
        costs = frames.costs(piece, AWAITED)
        assert all(0 <= at < max(1, len(piece)) for at, _ in costs)
        found += [(begin + at, cost) for at, cost in costs]
        begin += len(piece)
    assert [cost for _, cost in found] == [cost for _, cost in sent if cost]
    begins = [
        sum(len(data) for data, _ in sent[:count]) for count, (_, cost) in enumerate(sent) if cost
    ]
    assert all(is_at >= at for (is_at, _), at in zip(found, begins, strict=True))


@given(st.binary(max_size=300), CUTS)
def test_whatever_comes_is_walked_through(data: bytes, cuts: list[int]) -> None:
    frames = Frames()
    costs = [cost for piece in cut(data, cuts) for _, cost in frames.costs(piece, AWAITED)]
    assert costs == [cost for _, cost in Frames().costs(data, AWAITED)]
    assert all(cost >= 0 for cost in costs)


def test_what_h2_reads_as_a_frame_is_one() -> None:
    for data, _ in EACH[:-2]:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        assert len(data) == 9 + length, frame
