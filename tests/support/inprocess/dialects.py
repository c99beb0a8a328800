"""Dialects for the tests that hold for each: Sample is the fixture that a new one brings.

CHAT is a second one, small and written here, as a new file in relay/gateway/dialects would be.
"""

import json
from dataclasses import dataclass

from relay.gateway.dialect import AnswerEvent, Dialect, Identity, Reader, Role, Rules
from relay.gateway.dialects.anthropic import DIALECT as ANTHROPIC
from relay.gateway.http import Fields
from relay.gateway.sse import ServerSentEvent, SseReader


class Chat:
    """Chat completions as OpenAI and many others speak them."""

    programs: tuple[str, ...] = ("chatter", "prattler")
    packages: tuple[str, ...] = ("@chat/chatter",)
    folders: tuple[str, ...] = ()
    base_url = "CHAT_BASE_URL"
    identity: Identity | None = None
    stream_type = b"text/event-stream"
    filler = b": still here\n\n"
    filler_interval = 7.0

    def is_spoken_by(self, host: str) -> bool:
        return host == "chat.example"

    def rules(self, method: str, path: str, prefix: str) -> Rules:
        generates = (method, path) == ("POST", f"{prefix}/v1/chat/completions")
        is_read = method in {"GET", "HEAD"}
        return Rules(generates or is_read, is_streamed=generates, is_billed=generates)

    def reader(self) -> Reader:
        return SseReader(_read, end_name="[DONE]", closing=b"data: [DONE]\n\n")

    def is_passing(self, status: int) -> bool:
        return status >= 500

    def error_event(self, message: str) -> bytes:
        return b"data: %b\n\n" % _error(message)

    def as_error_event(self, body: bytes) -> bytes:
        return b"data: %b\n\n" % body if body.startswith(b'{"error"') else b""

    def error_fields(self, message: str, *, retry: bool) -> tuple[Fields, bytes]:
        body = _error(message)
        return [(b"Content-Length", b"%d" % len(body))], body


CHAT: Dialect = Chat()


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "server_error"}}).encode()


def _read(event: ServerSentEvent) -> AnswerEvent:
    raw, _kind, data = event
    if not data:
        return AnswerEvent(raw, (Role.FILLER,))
    if data == b"[DONE]":
        return AnswerEvent(raw, (Role.END,))
    try:
        chunk = json.loads(data)
    except ValueError:
        return AnswerEvent(raw, (Role.UNKNOWN,))
    if "error" in chunk:
        name = chunk["error"].get("type")
        return AnswerEvent(raw, (Role.ERROR,), name if name == "server_error" else "")
    return AnswerEvent(raw, _roles(chunk["choices"][0]) if chunk["choices"] else (Role.MESSAGE,))


def _roles(choice: dict[str, dict[str, str] | str]) -> tuple[Role, ...]:
    delta = choice["delta"]
    roles = [Role.START, Role.PART_START] if "role" in delta else []
    roles += [Role.CONTENT] if "content" in delta else []
    return (*roles, Role.PART_END, Role.STOP) if "finish_reason" in choice else tuple(roles)


@dataclass(frozen=True)
class Sample:
    """A dialect, and an answer in it that has two parts at least, or one."""

    dialect: Dialect
    program: str
    path: str
    before: tuple[bytes, ...]
    """The events before the first content."""
    first_part: tuple[bytes, ...]
    """From the first content to the last event before the part's end."""
    rest: tuple[bytes, ...]
    """From the first part's end to the last event before the END."""
    stop: int
    """The number of the event of `rest` that is the STOP."""
    end: bytes
    passing_error: bytes
    """An error after which asking again may help, named `error_name`."""
    error_name: str
    final_error: bytes

    @property
    def events(self) -> tuple[bytes, ...]:
        """The whole answer."""
        return (*self.before, *self.first_part, *self.rest, self.end)


def _typed(kind: str, **more: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind} | more).encode())


def _chunk(*, finish_reason: str | None = None, **delta: str) -> bytes:
    choice = {"delta": delta} | ({"finish_reason": finish_reason} if finish_reason else {})
    return b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode()


SAMPLES = (
    Sample(
        ANTHROPIC,
        "claude",
        "/v1/messages",
        before=(_typed("message_start"), _typed("ping"), _typed("content_block_start")),
        first_part=(_typed("content_block_delta", delta="a"), _typed("content_block_delta")),
        rest=(
            _typed("content_block_stop"),
            _typed("message_delta", delta={"stop_reason": "end_turn"}),
        ),
        stop=1,
        end=b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        passing_error=_typed("error", error={"type": "overloaded_error"}),
        error_name="overloaded_error",
        final_error=_typed("error", error={"type": "invalid_request_error"}),
    ),
    Sample(
        CHAT,
        "chatter",
        "/v1/chat/completions",
        before=(b": hello\n\n", _chunk(role="assistant")),
        first_part=(_chunk(content="Hel"), _chunk(content="lo")),
        rest=(_chunk(finish_reason="stop"), b'data: {"choices": [], "usage": {}}\n\n'),
        stop=0,
        end=b"data: [DONE]\n\n",
        passing_error=b'data: {"error": {"type": "server_error"}}\n\n',
        error_name="server_error",
        final_error=b'data: {"error": {"type": "invalid_request_error"}}\n\n',
    ),
)
