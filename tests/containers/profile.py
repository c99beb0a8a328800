"""packaging/seccomp.json: Docker's default profile and what keepline needs beside it; pure.

    scripts/containers --profile default.json

`default.json` is profiles/seccomp/default.json of moby, Apache-2.0, the profile that Docker has by
default. Groups of calls are added to it, and nothing is taken away.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

SHIPPED: Final = Path(__file__).resolve().parents[2] / "packaging/seccomp.json"

_MARK: Final = "keepline: "
"""How the comments of what is added begin."""


def _allowed(names: Sequence[str], why: str, **more: object) -> dict[str, Any]:
    comment = f"{_MARK}{why}"
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", "comment": comment, **more}


ALONE: Final = (_allowed(["unshare"], "the namespaces of a session"),)
"""Without this nothing runs."""

ADDED: Final = (
    *ALONE,
    _allowed(["setns"], "sockets in the session's namespace, for servers that are published"),
    _allowed(["mount", "umount2", "mount_setattr"], "resolv.conf of the session, and --strict"),
    _allowed(["clone", "pivot_root"], "sandboxes that programs make themselves, such as bwrap"),
    _allowed(
        ["keyctl"],
        "KEYCTL_JOIN_SESSION_KEYRING alone, for --strict",
        args=[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
    ),
)
"""Calls that Docker allows to CAP_SYS_ADMIN alone, or to nobody.

An ordinary user has power by them over namespaces of its own alone, as it has outside of Docker.
"""


def extended(default: Mapping[str, Any], added: Sequence[dict[str, Any]] = ADDED) -> dict[str, Any]:
    """Return a profile with groups added to it."""
    return {**default, "syscalls": [*default["syscalls"], *added]}


def without_ours(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a profile was before groups of ours were added."""
    groups = profile["syscalls"]
    kept = [group for group in groups if not group.get("comment", "").startswith(_MARK)]
    return {**profile, "syscalls": kept}


if __name__ == "__main__":
    SHIPPED.write_text(
        json.dumps(extended(json.loads(Path(sys.argv[1]).read_text())), indent=2) + "\n"
    )
