"""Lists the private attributes of others that the tests reach: `python -m tests.support.private`.

They bind the tests to how a thing is made, so that it cannot be made otherwise. `os._exit` has no
public name.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TESTS: Final = Path(__file__).resolve().parents[1]
_OWN: Final = {"self", "cls"}
_ALLOWED: Final = {"os._exit"}
_OF_NAMEDTUPLE: Final = {"_asdict", "_fields", "_make", "_replace"}
"""Public, with an underscore lest they meet a field's name."""


def reached() -> list[str]:
    """Return each place with its expression, in order."""
    return [
        f"{path.relative_to(_TESTS.parent)}:{line}: {expression}"
        for path in sorted(_TESTS.rglob("*.py"))
        for line, expression in sorted(in_source(path.read_text()))
    ]


def in_source(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and expression of each private attribute of something that is not `self`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            expression = ast.unparse(node)
            is_own = isinstance(node.value, ast.Name) and node.value.id in _OWN
            if not is_own and expression not in _ALLOWED:
                yield node.lineno, expression
        elif isinstance(node, ast.Call) and _sets_private(node):
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_OURS):
            for alias in node.names:
                if _is_private(alias.name):
                    yield node.lineno, f"{node.module}.{alias.name}"


_OURS: Final = ("netns", "relay")


def _sets_private(call: ast.Call) -> bool:
    """Return whether this is setattr or monkeypatch.setattr with a private name."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in {"setattr", "getattr", "delattr"} and any(
        isinstance(argument, ast.Constant)
        and isinstance(argument.value, str)
        and _is_private(argument.value.rpartition(".")[2])
        for argument in call.args
    )


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in _OF_NAMEDTUPLE


if __name__ == "__main__":
    sys.stdout.writelines(f"{place}\n" for place in reached())
