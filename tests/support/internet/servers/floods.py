"""What an upstream may send without end that carries nothing of an answer.

FRAMES are of HTTP/2, on stream 1 whose answer is asked for; HEADS and what else is HTTP/1.1 or an
answer's body is in LINES, with what comes once before it.
"""

from typing import Final

import h2.config
import h2.connection
import h2.events
import hpack
import trio
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

READ: Final = 16384
"""Bytes that are sent at once: a record of TLS."""


def block(fields: list[tuple[str, str]], *, is_whole: bool = True) -> bytes:
    """Return HEADERS of stream 1."""
    frame = HeadersFrame(1, hpack.Encoder().encode(fields, huffman=False))
    if is_whole:
        frame.flags.add("END_HEADERS")
    return frame.serialize()


def settings(codes: range) -> bytes:
    """Return a frame of settings that nobody knows; hyperframe writes none of them."""
    each = b"".join(code.to_bytes(2, "big") + bytes(4) for code in codes)
    return len(each).to_bytes(3, "big") + b"\4" + bytes(5) + each


EARLY: Final = [(":status", "103")]
PING: Final = PingFrame(opaque_data=b"12345678").serialize()
LAST: Final = ContinuationFrame(1, flags=["END_HEADERS"]).serialize()
FRAMES: Final[dict[str, bytes]] = {
    "PING": PING,
    "acknowledged PING": PingFrame(opaque_data=bytes(8), flags=["ACK"]).serialize(),
    "SETTINGS": SettingsFrame().serialize(),
    "SETTINGS of many": settings(range(1000, 1200)),
    "empty DATA": DataFrame(1).serialize(),
    "DATA of padding": DataFrame(1, pad_length=3, flags=["PADDED"]).serialize(),
    "DATA of one byte": DataFrame(1, b":").serialize(),
    "PRIORITY": PriorityFrame(1, depends_on=3).serialize(),
    "103": block(EARLY),
    "103 of many fields": block([*EARLY, *((f"x-{number}", "y") for number in range(99))]),
    "103 in CONTINUATION": block(EARLY, is_whole=False)
    + ContinuationFrame(1).serialize() * 60
    + LAST,
    "WINDOW_UPDATE": WindowUpdateFrame(0, window_increment=1).serialize(),
    "WINDOW_UPDATE of a stream": WindowUpdateFrame(1, window_increment=1).serialize(),
    "RST_STREAM of no stream": RstStreamFrame(99).serialize(),
    "GOAWAY": GoAwayFrame(last_stream_id=99).serialize(),
    "ALTSVC": AltSvcFrame(0, origin=b"a", field=b'h2=":1"').serialize(),
    "unknown frames": b"\0\0\5\xbe\0\0\0\0\0xxxxx",
}
TOKENS: Final = {
    "103 in CONTINUATION": 62,
    "103 of many fields": 9,
    "SETTINGS of many": 201,
    "DATA of one byte": 16 / 256,
}
"""What one of them costs at least, where that is not one token."""

_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
STREAMED: Final = _HEAD + b"Connection: close\r\n\r\n"
CHUNKED: Final = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HEADS: Final = {
    "103": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "large 103": (b"", b"HTTP/1.1 103 Early Hints\r\n%b\r\n" % (b"Link: </x>\r\n" * 999)),
    "chunks of a byte": (CHUNKED, b"1\r\n:\r\n"),
    "chunk extensions": (CHUNKED, b"1;%b\r\n:\r\n" % (b"x" * 400_000)),
}
LINES: Final = {
    "empty lines": (STREAMED, b"\n"),
    "empty lines of CR": (STREAMED, b"\r"),
    "comments": (STREAMED, b":\n\n"),
    "comments in one event": (STREAMED, b":\n"),
    "fields in one event": (STREAMED, b"data\n"),
    "pings": (STREAMED, b'event: ping\ndata: {"type": "ping"}\n\n'),
    "events of no type": (STREAMED, b"id: 1\n\n"),
}


async def without_end(stream: trio.abc.SendStream, begin: bytes, again: bytes) -> int:
    """Send `begin`, then `again` until the other side ends it; return how many bytes that was."""
    sent, again = 0, again * max(1, READ // len(again))
    try:
        await stream.send_all(begin)
        while True:
            await stream.send_all(again)
            sent += len(again)
    except trio.BrokenResourceError:
        return sent


async def frames_without_end(stream: trio.abc.Stream, name: str) -> None:
    """Take a request over HTTP/2, and flood; what comes meanwhile is not read."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    server.initiate_connection()
    await stream.send_all(server.data_to_send())
    while data := await stream.receive_some():
        events = server.receive_data(bytes(data))
        await stream.send_all(server.data_to_send())
        if any(isinstance(event, h2.events.StreamEnded) for event in events):
            begin = block([(":status", "200"), ("content-type", "text/event-stream")])
            await without_end(stream, begin if "DATA" in name else b"", FRAMES[name])
            return
