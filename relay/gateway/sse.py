"""Server-sent events: a stream is cut into events, and no byte of it is lost or changed.

Rules (WHATWG HTML sections 9.2.5, the grammar, and 9.2.6, how it is read):
1. A line ends with LF, CR LF or CR, an empty line ends an event; all that has come since the last
   event is the event's raw bytes, comments and empty lines included.
2. A CR ends its line at once, without waiting for a possible LF. An LF that follows it in the next
   chunk belongs to the same line end; if that has ended an event, the LF is the first byte of the
   next event's raw bytes, where it is an empty line without meaning.
3. The raw bytes of all events, then the partial one, are what was fed, however it is chunked.
4. Each byte is looked at once, however many chunks an event comes in, and kept twice at most: in
   the event's raw bytes and in its data.

Pure: no sockets, no clock.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from relay.gateway.dialect import AnswerEvent

_BOM: Final = b"\xef\xbb\xbf"

_HEAD: Final = 1024
"""Bytes kept of an unfinished line that was taken: enough for the name of any known type."""

_LINE_ENDS: Final = (b"\n", b"\r")

MANY: Final = 64
SHORT: Final = 16
"""Bytes, of lines of which there are many only where somebody wants us to read many."""


class ServerSentEvent(NamedTuple):
    """One event, or what stood between two empty lines."""

    raw: bytes
    """The bytes as received, the empty line at the end included."""
    kind: str
    """The value of its `event` field, "" if it has none."""
    data: bytes
    """The values of its `data` fields, joined with LF."""


class Splitter:
    """Cuts a stream into events as it arrives."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._is_open = False
        """Whether a line is unfinished."""
        self._line = 0
        """Where in `_raw` it begins."""
        self._begun = bytearray()
        """The beginning of the unfinished line, as far as it was taken."""
        self.kind = ""
        """The type of the unfinished event, as far as its lines are complete."""
        self.idle = 0
        """How many lines shorter than SHORT have come after the first MANY of their events."""
        self._lines = 0
        self._data: bytes | bytearray | None = None
        self._is_first_line = True
        self._is_after_cr = False
        self._is_taken = False

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Return the events that end in `data`."""
        if self._is_after_cr and data.startswith(b"\n"):
            self._raw += b"\n"
            self._is_after_cr = False
            data = data[1:]
        events, raw = [], self._raw
        # bytes.splitlines, unlike str's, knows no other line ends than these three.
        for line in data.splitlines(keepends=True):
            raw += line
            if not line.endswith(_LINE_ENDS):  # the last one
                if not self._is_open:
                    self._line, self._is_open = len(raw) - len(line), True
            elif self._end_line(self._joined() if self._is_open else line):
                events.append(self._end_event())
        if data:
            self._is_after_cr = data.endswith(b"\r")
        return events

    @property
    def partial(self) -> bytes:
        """The bytes of the unfinished event that were not taken."""
        return bytes(self._raw)

    @property
    def size(self) -> int:
        """The size of `partial` in bytes."""
        return len(self._raw)

    def take_partial(self) -> bytes:
        """Return the unfinished event's bytes and forget them, so that memory stays bounded.

        The end of the event is still found; its raw bytes are then the rest, its data is empty.
        """
        taken = self.partial
        if self._is_open:
            self._begun += taken[self._line : self._line + _HEAD]
            del self._begun[_HEAD:]
        self._raw.clear()
        self._line = 0
        self._data = None
        self._is_taken = True
        return taken

    def _joined(self) -> bytes:
        """Return a line that has come in several chunks, now that it has ended."""
        line = bytes(self._begun + self._raw[self._line :])
        self._begun.clear()
        self._is_open = False
        return line

    def _end_line(self, line: bytes) -> bool:
        """Interpret a line, section 9.2.6; return whether it is empty."""
        line = line.rstrip(b"\r\n")
        self._lines += 1
        if self._lines > MANY and len(line) < SHORT:
            self.idle += 1
        if self._is_first_line:
            line = line.removeprefix(_BOM)
            self._is_first_line = False
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self.kind = value.decode(errors="replace")
        elif name == b"data" and not self._is_taken:
            if self._data is None:
                self._data = value
            else:
                if isinstance(self._data, bytes):  # most events have one line of data
                    self._data = bytearray(self._data)
                self._data += b"\n"
                self._data += value
        return not line

    def _end_event(self) -> ServerSentEvent:
        event = ServerSentEvent(bytes(self._raw), self.kind, bytes(self._data or b""))
        self._raw.clear()
        self._lines = 0
        self.kind = ""
        self._data = None
        self._is_taken = False
        return event


class SseReader:
    """The Reader of a dialect that streams server-sent events."""

    def __init__(
        self,
        read: Callable[[ServerSentEvent], AnswerEvent],
        *,
        end_name: str,
        closing: bytes,
        content: str = "",
    ) -> None:
        """Interpret each event by `read`.

        `content` is the event field of the type that carries content, if there is one.
        """
        self.end_name = end_name
        self.closing = closing
        self.splitter = Splitter()
        self._read = read
        self._content = content

    def feed(self, data: bytes) -> list[AnswerEvent]:
        """See Reader."""
        return list(map(self._read, self.splitter.feed(data)))

    @property
    def idle(self) -> int:
        """See Reader."""
        return self.splitter.idle

    @property
    def size(self) -> int:
        """See Reader."""
        return self.splitter.size

    @property
    def carries_content(self) -> bool:
        """See Reader."""
        return bool(self._content) and self.splitter.kind == self._content

    def take_partial(self) -> bytes:
        """See Reader."""
        return self.splitter.take_partial()
