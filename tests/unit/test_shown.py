"""What the README names as shown by a test is there: its file or folder, and what `-k` selects."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATH = re.compile(r"(?<![\w/])(?:tests/(?:\w+/)*)?test_\w+\.py|(?<![\w/])tests/(?:\w+/?)+")
WORD = re.compile(r"-k (\w+)")
LINES = [
    line
    for line in (ROOT / "README.md").read_text().splitlines()
    if re.search(r"tests/|test_\w+\.py", line)
]


def named(line: str) -> list[Path]:
    """Return the files and folders that a line names; the first one tells where others are."""
    found: list[Path] = []
    for name in PATH.findall(line):
        folder = found[-1].parent if found and "/" not in name else ROOT
        found.append(folder / name)
    return found


def names_of(path: Path) -> set[str]:
    """Return the names of the tests in a file, or in those of a folder."""
    files = path.rglob("test_*.py") if path.is_dir() else [path]
    return {
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


@pytest.mark.parametrize("line", LINES)
def test_what_a_line_names_is_there(line: str) -> None:
    paths = named(line)
    assert all(path.exists() for path in paths), paths
    names = {name for path in paths for name in names_of(path)}
    for word in WORD.findall(line):
        assert any(word in name for name in names), word


def test_each_line_of_what_works_as_outside_names_one() -> None:
    text = (ROOT / "README.md").read_text()
    table = text.partition("## What works as outside")[2].partition("\n### ")[0]
    rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(rows) > 10
    assert all(PATH.search(row.rpartition(" | ")[2]) for row in rows)
