"""What a file or a program has written is shown so that it can only be read. Pure.

A terminal obeys control characters, of C1 too, and some of them type for the one who looks on;
others turn the order of a line, or end it, and let one event look like another. Whatever is not
printable is shown by its number.
"""

import json
import re
from typing import Final

_HIDDEN: Final = re.compile(r"[^\x20-\x7e]")


def shown(text: str) -> str:
    """Return a line of text without anything that is not printable, str.isprintable()."""
    return text if text.isprintable() else _HIDDEN.sub(_number, text)


def _number(found: re.Match[str]) -> str:
    """Return a character, or its number where it is not printable, as Python writes it."""
    character = found[0]
    return character if character.isprintable() else ascii(character)[1:-1]


def shown_lines(text: str) -> str:
    """Return text of several lines, each as shown() has it."""
    return "\n".join(map(shown, text.split("\n")))


def as_json(line: bytes) -> str | None:
    """Return a line of JSON of printable characters that means the same; None if it is no JSON."""
    try:
        text = line.decode().strip()
        value = json.loads(text, parse_constant=_refuse)
        if text.isprintable():
            return text
        return shown_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except (ValueError, RecursionError):
        return None


def shown_json(text: str) -> str:
    """Return JSON with what is not printable in its strings escaped."""
    return _HIDDEN.sub(_escape, text)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _escape(found: re.Match[str]) -> str:
    """Return a character of a JSON string, escaped if it is not printable, RFC 8259 section 7."""
    character = found[0]
    if character.isprintable() or character == "\n":  # between values: in a string it is escaped
        return character
    return json.dumps(character)[1:-1] if character > "\x7f" else f"\\u{ord(character):04x}"
