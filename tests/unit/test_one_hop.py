"""A proxy passes on what is for the server, framing included, in order and as it was written."""

from relay.one_hop import passed_on


def test_what_is_passed_on() -> None:
    kept = [(b"X-Two", b"2"), (b"content-length", b"4"), (b"Accept", b"*/*"), (b"x-two", b"3")]
    dropped = [
        (b"Host", b"a.test"),
        (b"Connection", b"close, X-One , Content-Length"),
        (b"X-ONE", b"1"),
        (b"Proxy-Authorization", b"Basic x"),
        (b"connection", b"Transfer-Encoding"),
        (b"Upgrade", b"websocket"),
    ]
    mixed = [each for pair in zip(dropped, kept, strict=False) for each in pair]
    assert passed_on([*mixed, *dropped[4:], (b"Transfer-Encoding", b"chunked")]) == [
        *kept,
        (b"Transfer-Encoding", b"chunked"),
    ]
