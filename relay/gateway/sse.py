"""Server-sent events: a stream is cut into events, and no byte of it is lost or changed.

Rules (WHATWG HTML sections 9.2.5, the grammar, and 9.2.6, how it is read):
1. A line ends with LF, CR LF or CR, an empty line ends an event; all that came since the last
   event is the event's raw bytes, comments and empty lines included.
2. A CR is not waited on. An LF that follows one in the next chunk belongs to the same line end;
   if that has ended an event, the LF is the first byte of the next event's raw bytes, where it
   is an empty line and means nothing.
3. The raw bytes of all events, and then the partial one, are what was fed, in every chunking.
4. Each byte is looked at once, however many chunks an event comes in.

Pure: no sockets, no clock.
"""

import json
from typing import Final, NamedTuple

PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'
"""As the API host writes it."""

_BOM: Final = b"\xef\xbb\xbf"

_HEAD: Final = 1024
"""Bytes kept of an unfinished line that was taken: enough for the name of any known event."""


class Event(NamedTuple):
    """One event, or what stood between two empty lines."""

    raw: bytes
    """The bytes as received, the empty line at the end included."""
    kind: str
    """The value of its `event` field, "" if it has none."""
    data: bytes
    """The values of its `data` fields, joined with LF."""


class Splitter:
    """Cuts a stream into events as it comes in."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._raw = bytearray()
        self._line = bytearray()
        self._kind = ""
        self._data: list[bytes] = []
        self._is_first_line = True
        self._is_after_cr = False
        self._is_taken = False

    def feed(self, data: bytes) -> list[Event]:
        """Give the events that end in `data`."""
        if self._is_after_cr and data.startswith(b"\n"):
            self._raw += b"\n"
            self._is_after_cr = False
            data = data[1:]
        events = []
        # bytes.splitlines, unlike str's, knows no other line ends than these three.
        for line in data.splitlines(keepends=True):
            self._raw += line
            self._line += line
            if line.endswith((b"\n", b"\r")) and self._end_line():
                events.append(self._end_event())
        if data:
            self._is_after_cr = data.endswith(b"\r")
        return events

    @property
    def partial(self) -> bytes:
        """The unfinished event's bytes, as far as they were not taken."""
        return bytes(self._raw)

    @property
    def size(self) -> int:
        """How many bytes `partial` has."""
        return len(self._raw)

    @property
    def kind(self) -> str:
        """The unfinished event's kind, as far as its lines have ended."""
        return self._kind

    def take_partial(self) -> bytes:
        """Give the unfinished event's bytes and forget them, so that memory stays bounded.

        The event's end is still found; its raw bytes are then the rest, and its data is empty.
        """
        taken = self.partial
        self._raw.clear()
        self._data.clear()
        del self._line[_HEAD:]
        self._is_taken = True
        return taken

    def _end_line(self) -> bool:
        """Read a line, section 9.2.6; True if it is empty."""
        line = bytes(self._line).rstrip(b"\r\n")
        self._line.clear()
        if self._is_first_line:
            line = line.removeprefix(_BOM)
            self._is_first_line = False
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._kind = value.decode(errors="replace")
        elif name == b"data" and not self._is_taken:
            self._data.append(value)
        return not line

    def _end_event(self) -> Event:
        event = Event(bytes(self._raw), self._kind, b"\n".join(self._data))
        self._raw.clear()
        self._kind = ""
        self._data.clear()
        self._is_taken = False
        return event


def as_error_event(document: bytes) -> bytes:
    """Write an error that was an answer's whole body as an event; empty if it is no such thing."""
    try:
        error = json.loads(document)
    except ValueError:
        return b""
    if not isinstance(error, dict) or error.get("type") != "error":
        return b""
    return b"event: error\ndata: %b\n\n" % json.dumps(error, separators=(",", ":")).encode()


def error_event(kind: str, message: str) -> bytes:
    """Write an error as the API host does: https://docs.claude.com/en/api/errors."""
    # json escapes all that is not ASCII, so that nothing in the message can end the line.
    error = {"type": "error", "error": {"type": kind, "message": message}}
    return b"event: error\ndata: %b\n\n" % json.dumps(error, separators=(",", ":")).encode()
