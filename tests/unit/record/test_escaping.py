"""Whatever a file holds, a line of it is one line of printable characters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.record.escaping import as_json, shown, shown_json, shown_lines

SHOWN = [
    ("plain", "plain"),
    ("Grüße, 世界 🙂", "Grüße, 世界 🙂"),
    ("a\x1b]0;title\x07b", r"a\x1b]0;title\x07b"),
    ("a\x9b31mb", r"a\x9b31mb"),
    ("a\x7fb\x00", r"a\x7fb\x00"),
    ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
    ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
    ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
    ("a\ud800b", r"a\ud800b"),
    ("a\U000e0041b\ufeff", r"a\U000e0041b\ufeff"),
]


@pytest.mark.parametrize(("text", "told"), SHOWN)
def test_what_cannot_be_read_is_shown_by_its_number(text: str, told: str) -> None:
    assert shown(text) == told


def test_lines_stay_lines() -> None:
    assert shown_lines("one\n  two\x1b[1m") == "one\n  two\\x1b[1m"


@given(st.text(st.characters()))
def test_a_line_is_one_line_and_printable(text: str) -> None:
    assert shown(text).isprintable()


@given(st.recursive(st.text(st.characters(codec="utf-8")) | st.integers() | st.none(), st.lists))
def test_json_means_what_it_meant(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        told = as_json(text.encode())
        assert told is not None
        assert told.isprintable()
        assert json.loads(told) == value


@given(st.binary())
def test_any_line_is_json_or_nothing(line: bytes) -> None:
    told = as_json(line)
    assert told is None or told.isprintable()


@pytest.mark.parametrize(
    "line", [b"", b"{", b"\xff", b'"\xed\xa0\x80"', b"NaN", b'"\x1b"', b"[" * 100_000]
)
def test_what_is_no_json_is_left_out(line: bytes) -> None:
    assert as_json(line) is None


def test_json_of_several_lines() -> None:
    assert shown_json('{\n  "a": "\x7f\x9b\u202e\U000e0041ü"\n}') == (
        '{\n  "a": "\\u007f\\u009b\\u202e\\udb40\\udc41ü"\n}'
    )
