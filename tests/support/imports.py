"""Lists the import circles of relay/ and netns/: `python -m tests.support.imports`; none is right.

Every import counts, also those in functions and for types alone. Beside the circles of modules,
those of packages are listed: of all that stands in one folder, each package taken as a whole.
"""

import sys
from collections.abc import Iterator, Set
from typing import Final

import grimp

ROOTS: Final = ("netns", "relay")

Circle = tuple[str, ...]
"""Each imports the next one, and the last one imports the first."""


def circles() -> list[Circle]:
    """Return a shortest circle through each import that is part of one, each circle once."""
    graph = grimp.build_graph(*ROOTS, cache_dir=None)
    found = set(_circles(graph, graph.modules))
    for package in graph.modules:
        if children := graph.find_children(package):
            found |= set(_circles(_squashed(children), children))
    return sorted(found, key=lambda circle: (len(circle), circle))


def _squashed(children: Set[str]) -> grimp.ImportGraph:
    """Return the graph in which each child of a package is one module, whatever is in it."""
    graph = grimp.build_graph(*ROOTS, cache_dir=None)
    for child in children:
        graph.squash_module(child)
    return graph


def _circles(graph: grimp.ImportGraph, among: Set[str]) -> Iterator[Circle]:
    for module in among:
        for imported in graph.find_modules_directly_imported_by(module) & among:
            chain = graph.find_shortest_chain(imported, module)
            if chain:
                first = chain.index(min(chain))
                yield chain[first:] + chain[:first]


def shown(circle: Circle) -> str:
    """Return the circle in one line."""
    return " > ".join((*circle, circle[0]))


if __name__ == "__main__":
    listed = circles()
    sys.stdout.writelines(f"{shown(circle)}\n" for circle in listed)
    sys.exit(bool(listed))
