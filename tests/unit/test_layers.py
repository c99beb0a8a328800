"""The rules of the tree: pure modules know no I/O, files are short, tests mirror their source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {"trio", "socket", "time", "random", "os", "pathlib", "subprocess", "asyncio", "select"}
PURE = [
    line
    for line in (ROOT / "tests/pure_modules").read_text().splitlines()
    if not line.startswith("#")
]

MODULES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("[rn]e*/**/*.py"))


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def source(name: str) -> str:
    path = name.replace(".", "/")
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_no_io(module: str) -> None:
    roots = {name.partition(".")[0] for name in imported(ROOT / module)}
    assert roots & FORBIDDEN == set()


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_pure_modules_alone(module: str) -> None:
    ours = {name for name in imported(ROOT / module) if name.startswith(("relay.", "netns."))}
    assert set(map(source, ours)) <= set(PURE)


@pytest.mark.parametrize("kind", ["unit", "flow"])
def test_the_tests_stand_where_their_source_stands(kind: str) -> None:
    tests = ROOT / "tests" / kind
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    assert {
        folder
        for folder in folders - {Path("support")}
        if not (ROOT / "relay" / folder).is_dir()
        and not (folder.parts[0] in {"netns", "packaging"} and (ROOT / folder).is_dir())
    } == set()


@pytest.mark.parametrize("module", MODULES)
def test_every_file_says_its_rule_in_its_first_line(module: str) -> None:
    first = (ROOT / module).read_text().splitlines()[0]
    assert first.startswith('"""')
    assert len(first) > len('"""."""')


@pytest.mark.parametrize("module", MODULES)
def test_a_module_and_its_functions_are_short(module: str) -> None:
    """One that passes 300 lines, or 40, is asked whether it still does one thing."""
    text = (ROOT / module).read_text()
    functions = {
        node.name: (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert text.count("\n") <= 300
    assert {name: lines for name, lines in functions.items() if lines > 40} == {}
