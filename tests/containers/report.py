"""docs/containers.md, written and read; pure, no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .engines import SHOWN
from .playing import Outcome
from .rows import NAMED, PAIRS, Row
from .sealed import CASES
from .steps import STEPS

_INTRO: Final = """\
# keepline inside containers

Each line is a container of a real engine, in which `keepline run` fetches a page from a server in
another container, by its name. This page is written by `scripts/containers --write`;
`scripts/containers --check`, which CI runs, fails if a line comes out differently.

*works*: the page was fetched. *refuses*: nothing ran; what was said is the cause and the next step.
*runs, reaches nothing*: with `--network none` the program waits, as in an outage. The numbers in
the last column are what keepline said on stderr, listed below.

- User: *user* is `--user 4711`, who is in no passwd file, and whose HOME is `/`.
- Capabilities: *none* is `--cap-drop ALL`; others are added to the engine's own.
- Seccomp: *default* is the engine's own profile, *shipped* is
  `--security-opt seccomp=packaging/seccomp.json`, *unshare alone* is Docker's default and the one
  call `unshare`, so that nothing can be mounted, as under Docker's and podman's AppArmor profiles.
- Engines: podman 4.3 with crun on the machine's own root file system (`--rootfs /:O`); the same as
  an ordinary user; Docker 20.10 with runc. All are Debian 12's, in namespaces of their own.

Not run here: AppArmor and SELinux, which the kernel of the machine lacks, Kubernetes,
`--privileged`, newer engines.
"""

_HEAD: Final = (
    *("engine", "user", "capabilities", "seccomp", "read-only", "no new privileges", "network"),
    *("`keepline run`", "says"),
)
_HEAD_OF_NAMED: Final = (*_HEAD[:7], "what", *_HEAD[7:])

_PODS: Final = """
## Pods

A relay without any privilege (`keepline sidecar relay`: user 1337, no capability, no new
privileges, a root file system that is read-only), rules that a container with NET_ADMIN alone has
made (`keepline sidecar rules`), and an application, user 4711, without capabilities. *podman kube
play* has them from one file, the rules as an init container; in Docker a third container has the
network that all of them share. The server, `api`, is in another container, and goes by its name.
"""

_SEALED: Final = """
## Sealed containers

Containers without a network, as root, for which a relay outside dials, started by the engine's
user. A page is fetched by its address: from `api`, for rootless podman from the relay's host.
"""

Key = tuple[str, ...]
Pods = dict[str, dict[str, str]]
"""What is tried in a pod, with how it came out, by the pod's kind."""
Found = Mapping[Key, Outcome]


def key(row: Row) -> Key:
    """Return the cells by which a row is known."""
    return (
        SHOWN[row.engine],
        row.user,
        row.capabilities,
        row.seccomp,
        _yes(row.read_only),
        _yes(row.no_new_privileges),
        row.network,
        *([row.what] if row.what else []),
    )


def page(found: Found, pods: Pods, sealed: Mapping[str, str]) -> Iterator[str]:
    """Write it, of what was found for each row, in each pod and for each sealed container."""
    numbers = _numbers(found)
    yield _INTRO
    yield from _table(_HEAD, PAIRS, found, numbers)
    yield "\n## By name\n"
    yield from _table(_HEAD_OF_NAMED, NAMED, found, numbers)
    yield _PODS
    yield _line(["what is tried", *pods])
    yield _line(["---"] * (1 + len(pods)))
    yield from (_line([text, *(results[text] for results in pods.values())]) for text in STEPS)
    yield _SEALED
    yield _line(["what is tried", "works"])
    yield _line(["---"] * 2)
    yield from (_line([case, sealed[case]]) for case in CASES)
    yield "\n## What is said\n"
    yield from (f"{number}. {text}" for text, number in numbers.items())


def _numbers(found: Found) -> dict[str, int]:
    texts = dict.fromkeys(text for outcome in found.values() for text in outcome.said)
    return {text: number for number, text in enumerate(texts, 1)}


def _table(
    head: Sequence[str], rows: Sequence[Row], found: Found, numbers: Mapping[str, int]
) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head))
    for row in rows:
        outcome = found[key(row)]
        said = ", ".join(str(numbers[text]) for text in outcome.said)
        yield _line([*key(row), outcome.result, said])


def read(text: str) -> dict[Key, Outcome]:
    """Read what a page says of each row."""
    lines = text.splitlines()
    said = dict(line.split(". ", 1) for line in lines if line.partition(". ")[0].isdigit())
    rows = [_cells(line) for line in lines if line.startswith("| ")]
    return {
        tuple(cells[:-2]): Outcome(
            cells[-2], tuple(said[each] for each in cells[-1].split(", ") if each)
        )
        for cells in rows
        if cells[0] in SHOWN.values()
    }


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line[1:-1].split("|")]


def _yes(value: bool) -> str:
    return "yes" if value else "no"
