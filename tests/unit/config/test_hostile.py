"""A file of settings may be anybody's: whatever is in it, it is read in a time that grows with it.

Each of these took minutes, or hours at the size that a file may have.
"""

import time

import pytest

from relay import config
from relay.config import ConfigError
from tests.support.pace import within

QUICK = 1.0
"""Seconds; they take a tenth."""


def read_quickly(text: str) -> config.Project:
    begin = time.process_time()
    try:
        return config.from_project(text, "c.toml")
    finally:
        assert within(time.process_time() - begin, QUICK)


def test_a_long_line_of_spaces() -> None:
    found = read_quickly(f"{' ' * 100_000}\ndeny = ['a.example']")
    assert [entry.source for entry in found.deny] == ["c.toml:2"]


def test_many_rules_each_with_its_line() -> None:
    rules = "\n".join(f"'h{number}.example', # don't" for number in range(5_000))
    found = read_quickly(f"deny = [\n{rules}\n]")
    assert [entry.source for entry in found.deny] == [f"c.toml:{n}" for n in range(2, 5_002)]


def test_a_rule_among_others_on_its_line() -> None:
    text = """deny = ["a.example", 'b.example',
    "c.example", {host = "d.example", reason = "isn't ours"}]"""
    sources = [(entry.host, entry.source) for entry in read_quickly(text).deny]
    assert sources == [
        ("a.example", "c.toml:1"),
        ("b.example", "c.toml:1"),
        ("c.example", "c.toml:2"),
        ("d.example", "c.toml:2"),
    ]


@pytest.mark.parametrize("around", ["{}=1", "[{}]", "x = {{{}=1}}", "x = [{{b=1,{}=1}}]"])
@pytest.mark.parametrize("part", ["a", '"a"', "'.'"])
def test_a_key_of_many_parts(around: str, part: str) -> None:
    text = "\n" + around.format(" . ".join([part] * 100_000))
    with pytest.raises(ConfigError, match=r"c\.toml:2: a key of more parts"):
        read_quickly(text)


def test_a_name_of_many_labels_is_no_such_key() -> None:
    name = ".".join("10070") + ".c.0.8.b.d.0.1.0.0.2.ip6.arpa"
    found = read_quickly(f"deny = ['{name}',\n'{name}:443', '*.{name}']")
    assert len(found.deny) == 3
