"""What is a lock file, and what it says."""

import pytest

from relay.auto_ports.lock_file import Lock, port_named, read


def test_what_editors_write() -> None:
    content = b"""{"pid":27328,"workspaceFolders":["/p"],"ideName":"Visual Studio Code",
        "transport":"ws","runningInWindows":false,"authToken":"550e8400"}"""
    assert read("55912.lock", content) == Lock("55912.lock", 55912, 27328)


@pytest.mark.parametrize(
    "name", ["0.lock", "65536.lock", "080.lock", "1.lock.tmp", "x.lock", "1", "\u0661.lock", ""]
)
def test_other_names_are_none(name: str) -> None:
    assert port_named(name) is None
    assert read(name, b'{"pid":2}') is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"pid":',
        b"/p\n/q\n",
        b"[]",
        b"{}",
        b'{"pid":"2"}',
        b'{"pid":1}',
        b'{"pid":0}',
        b'{"pid":-1}',
        b'{"pid":4194304}',
        b'{"pid":2.5}',
        b"\xff",
        b'{"a":' + b"[" * 60_000,
    ],
)
def test_other_contents_are_none(content: bytes) -> None:
    assert read("1.lock", content) is None
