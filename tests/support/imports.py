"""Lists the import circles of relay/ and netns/: `python -m tests.support.imports`; none is right.

Every import counts, also those in functions and for types alone. Beside the circles of modules,
those of packages are listed: of all that stands in one folder, each package taken as a whole.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import grimp

ROOTS: Final = ("netns", "relay")

Imports = dict[str, set[str]]

Circle = tuple[str, ...]
"""Each imports the next one, and the last one imports the first."""


def circles() -> list[Circle]:
    """Return a shortest circle through each import that is part of one, each circle once."""
    graph = grimp.build_graph(*ROOTS, cache_dir=None)
    found = set(_circles(_imports(graph, graph.modules)))
    for package in graph.modules:
        if children := graph.find_children(package):
            found |= set(_circles(_between(graph, children)))
    return sorted(found, key=lambda circle: (len(circle), circle))


def _imports(graph: grimp.ImportGraph, modules: Iterable[str]) -> Imports:
    return {module: graph.find_modules_directly_imported_by(module) for module in modules}


def _between(graph: grimp.ImportGraph, children: Iterable[str]) -> Imports:
    """Return what the children of a package import of each other, whatever is in each."""
    owner = {
        module: child for child in children for module in (child, *graph.find_descendants(child))
    }
    found: Imports = {child: set() for child in children}
    for module, child in owner.items():
        imported = graph.find_modules_directly_imported_by(module)
        found[child] |= {owner[each] for each in imported if each in owner} - {child}
    return found


def _circles(imports: Imports) -> Iterator[Circle]:
    for module, imported in imports.items():
        for each in imported:
            if chain := _shortest(imports, each, module):
                first = chain.index(min(chain))
                yield chain[first:] + chain[:first]


def _shortest(imports: Imports, start: str, end: str) -> Circle:
    """Return the shortest chain of imports from one module to another; empty if there is none."""
    chains: deque[Circle] = deque([(start,)])
    seen = {start}
    while chains:
        chain = chains.popleft()
        if chain[-1] == end:
            return chain
        for each in sorted(imports.get(chain[-1], set()) - seen):
            seen.add(each)
            chains.append((*chain, each))
    return ()


def shown(circle: Circle) -> str:
    """Return the circle in one line."""
    return " > ".join((*circle, circle[0]))


if __name__ == "__main__":
    listed = circles()
    sys.stdout.writelines(f"{shown(circle)}\n" for circle in listed)
    sys.exit(bool(listed))
