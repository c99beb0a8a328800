"""The Messages API of Anthropic: https://docs.claude.com/en/api/messages-streaming; pure.

A streamed answer is message_start; for each content block content_block_start,
content_block_deltas and content_block_stop; then message_delta, which has the stop reason, and
message_stop. `ping` and `error` may come anywhere, and so may types that are not known yet. The
type of an event is its event field or, without one, the "type" of its data.
"""

import json
from typing import Any, Final

import msgspec

from relay.gateway.dialect import AnswerEvent, Dialect, Identity, Reader, Role, Rules
from relay.gateway.sse import ServerSentEvent, SseReader

_MESSAGES: Final = "/v1/messages"
_COUNT_TOKENS: Final = "/v1/messages/count_tokens"

_READS: Final = Rules(is_repeatable=True, is_streamed=False, is_billed=False)
_GENERATES: Final = Rules(is_repeatable=True, is_streamed=True, is_billed=True)
_OTHER: Final = Rules(is_repeatable=False, is_streamed=False, is_billed=False)

_START: Final = "message_start"
_DELTA: Final = "content_block_delta"
_TOP: Final = "message_delta"
_END: Final = "message_stop"
_ROLES: Final[dict[str, tuple[Role, ...]]] = {
    _START: (Role.START,),
    "content_block_start": (Role.PART_START,),
    _DELTA: (Role.CONTENT,),
    "content_block_stop": (Role.PART_END,),
    _TOP: (Role.MESSAGE,),
    _END: (Role.END,),
    "ping": (Role.FILLER,),
}

_CLOSING: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_PASSING: Final = frozenset({"overloaded_error", "api_error"})
"""Errors of the server, not of the request: https://docs.claude.com/en/api/errors."""
_PASSING_STATUSES: Final = frozenset({408, 409, 429})
"""Those below 500 after which the official SDKs ask again."""


class _Anthropic:
    """See Dialect."""

    programs: tuple[str, ...] = ("claude",)
    packages: tuple[str, ...] = (
        "@anthropic-ai/claude-code",
        "@anthropic-ai/claude-agent-sdk",  # brings the program, as cli.js
    )
    folders: tuple[str, ...] = ("/claude/versions",)
    base_url = "ANTHROPIC_BASE_URL"
    identity: Identity | None = Identity(
        "CLAUDE_CODE_CLIENT_CERT", "CLAUDE_CODE_CLIENT_KEY", "CLAUDE_CODE_CLIENT_KEY_PASSPHRASE"
    )
    stream_type = b"text/event-stream"
    filler = b'event: ping\ndata: {"type": "ping"}\n\n'
    """As the API itself writes it."""
    filler_interval = 10.0

    def is_spoken_by(self, host: str) -> bool:
        return host == "api.anthropic.com"

    def rules(self, method: str, path: str, prefix: str) -> Rules:
        if method in ("GET", "HEAD"):
            return _READS
        if method != "POST":
            return _OTHER
        path = path.partition("?")[0]
        if path == prefix + _MESSAGES:
            return _GENERATES
        return _READS if path == prefix + _COUNT_TOKENS else _OTHER

    def reader(self) -> Reader:
        return SseReader(_Reading(), end_name=_END, closing=_CLOSING, content=_DELTA)

    def is_passing(self, status: int) -> bool:
        return status >= 500 or status in _PASSING_STATUSES

    def error_event(self, message: str) -> bytes:
        return _event(_error(message))

    def as_error_event(self, body: bytes) -> bytes:
        try:
            error = json.loads(body)
            is_error = isinstance(error, dict) and error.get("type") == "error"
            return _event(error) if is_error else b""
        except (ValueError, RecursionError):
            return b""

    def error_fields(self, message: str, *, retry: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
        body = json.dumps(_error(f"keepline: {message}")).encode()
        fields = [
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            (b"x-should-retry", b"true" if retry else b"false"),  # which the official SDKs heed
        ]
        return fields, body


DIALECT: Final[Dialect] = _Anthropic()


def _error(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "api_error", "message": message}}


def _event(error: dict[str, Any]) -> bytes:
    # json escapes all that is not ASCII, so that nothing in the message can end the line.
    return b"event: error\ndata: %b\n\n" % json.dumps(error, separators=(",", ":")).encode()


class _Typed(msgspec.Struct):
    type: str = ""


class _Failure(msgspec.Struct):
    error: _Typed


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _Top(msgspec.Struct):
    delta: _Delta


_typed: Final = msgspec.json.Decoder(_Typed)
_failure: Final = msgspec.json.Decoder(_Failure)
_top: Final = msgspec.json.Decoder(_Top)


class _Reading:
    """Reads the events of one answer. Before its start, an event without data means nothing."""

    def __init__(self) -> None:
        self._has_begun = False

    def __call__(self, event: ServerSentEvent) -> AnswerEvent:
        kind = event.kind or _type_of(event.data)
        if kind == "error":
            return AnswerEvent(event.raw, (Role.ERROR,), _passing_error(event.data))
        self._has_begun = self._has_begun or kind == _START
        roles = _ROLES.get(kind, (Role.UNKNOWN,))
        if not event.data and (kind not in _ROLES or not self._has_begun):
            roles = (Role.FILLER,)
        if kind == _TOP and _has_stop_reason(event.data):
            roles = (Role.STOP,)
        return AnswerEvent(event.raw, roles)


def _type_of(data: bytes) -> str:
    """Return the "type" of a JSON object; "" if it is none or has none."""
    try:
        return _typed.decode(data).type
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and so is bad UTF-8
        return ""


def _has_stop_reason(data: bytes) -> bool:
    """Return whether a message_delta says why the answer stops."""
    try:
        return bool(_top.decode(data).delta.stop_reason)
    except (ValueError, RecursionError):
        return False


def _passing_error(data: bytes) -> str:
    """Return the type of an error event's error if it is the server's, else ""."""
    try:
        name = _failure.decode(data).error.type
    except (ValueError, RecursionError):
        return ""
    return name if name in _PASSING else ""
