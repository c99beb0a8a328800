"""Messages of the fake API, made from a seed: what they say, and the JSON of it; pure.

The same seed gives the same message. Each further try of a request is answered with another
`version` of it, as a real API never says the same twice: an answer that is put together from two
tries is found out by its digest.

    message(7).document()   the message as one JSON document
    message(7).digest()     of what it says; clients/agent.mjs makes the same from what it got

The shape, which kinds of blocks follow each other, is the same in all versions.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any, Final

MODEL: Final = "fake-1"

_SHAPES: Final = (
    ("thinking", "text", "tool_use"),
    ("thinking", "text", "tool_use", "tool_use"),
    ("thinking", "text", "thinking", "tool_use"),
    ("text", "thinking", "text", "tool_use"),
)
# What a parser may stumble over: UTF-8 of two to four bytes, escapes, and the syntax of events.
_WORDS: Final = (
    *("the", "answer", "is", "a", "file", "größer", "naïve", "日本語", "🙂", "👩‍👩‍👧"),
    *("\n", "\t", '"quoted"', "back\\slash", "\u2028", "data: x\n\n", "event: ping", "\x7f"),
)

Block = Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One message; made by `message`."""

    seed: int
    version: int
    blocks: tuple[Block, ...]

    @property
    def identity(self) -> str:
        """Its id, by which the tries of a request differ at the least."""
        return f"msg_{self.seed}_{self.version}"

    @property
    def stop_reason(self) -> str:
        """Why it ends."""
        return "tool_use" if self.blocks[-1]["type"] == "tool_use" else "end_turn"

    @property
    def tokens(self) -> int:
        """The tokens that it is said to cost."""
        return len(dumps(self.blocks)) // 4

    def envelope(self, blocks: Sequence[Block], reason: str | None, tokens: int) -> dict[str, Any]:
        """Return the message object, with all of its blocks or as it begins."""
        return {
            "id": self.identity,
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": list(blocks),
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 25, "output_tokens": tokens},
        }

    def document(self) -> bytes:
        """Return the body of an answer that is no stream."""
        return dumps(self.envelope(self.blocks, self.stop_reason, self.tokens)).encode()

    def digest(self) -> str:
        """Return the SHA-256 of what it says."""
        said = [self.identity, self.stop_reason, *(list(block.values()) for block in self.blocks)]
        return sha256(dumps(said).encode()).hexdigest()

    def random(self, purpose: str) -> Random:
        """Return random numbers that are the same each time."""
        return Random(f"{self.seed}/{self.version}/{purpose}")


def message(seed: int, version: int = 0) -> Message:
    """Make a message."""
    shape = Random(f"{seed}").choice(_SHAPES)
    random = Random(f"{seed}/{version}")
    return Message(seed, version, tuple(_block(kind, random) for kind in shape))


def dumps(value: object) -> str:
    """Write JSON as JSON.stringify of JavaScript does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _block(kind: str, random: Random) -> Block:
    match kind:
        case "thinking":
            signature = f"{random.getrandbits(256):064x}"
            return {"type": kind, "thinking": _text(random), "signature": signature}
        case "text":
            return {"type": kind, "text": _text(random)}
        case _:
            asked = {"command": _text(random), "lines": random.randint(1, 99), "dry": False}
            name = f"toolu_{random.getrandbits(64):016x}"
            return {"type": kind, "id": name, "name": "run", "input": asked}


def _text(random: Random) -> str:
    return " ".join(random.choices(_WORDS, k=random.randint(6, 24)))
