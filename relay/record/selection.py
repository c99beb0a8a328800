"""Which session `log`, `explain` and `status` are about: named, this one, or the latest. Pure."""

from collections.abc import Sequence
from typing import Final

from netns.errors import KeeplineError

LATEST: Final = "latest"
"""In place of a name: the latest session, also inside another."""

_SHOWN: Final = 5
"""Names that an error lists."""


class SelectionError(KeeplineError):
    """There is no such session, or more than one."""


def select(known: Sequence[str], wanted: str | None, own: str | None, folder: str) -> str:
    """Return the name of a session out of those `known` in `folder`, oldest first.

    `wanted` is a name, the beginning of one, or LATEST. Without it, it is the session that the
    caller runs in, its `own`; outside of any, the latest. Raises SelectionError.
    """
    if not known:
        raise SelectionError(f"there is no session in {folder}", "keepline run -- COMMAND")
    if wanted is None and own:
        if own not in known:
            cause = f"the log of this session, {own}, is not in {folder}"
            raise SelectionError(cause, f"{LATEST}, or {_listed(known)}")
        return own
    if wanted in (None, LATEST):
        return known[-1]
    assert wanted is not None
    if wanted in known:
        return wanted
    matching = [name for name in known if name.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        cause = f"{len(matching)} sessions in {folder} begin with {wanted}"
        raise SelectionError(cause, _listed(matching))
    raise SelectionError(f"there is no session {wanted} in {folder}", _listed(known))


def _listed(known: Sequence[str]) -> str:
    """Return the latest of them, for the next step of an error."""
    latest = known[: -_SHOWN - 1 : -1]
    return f"one of {', '.join(latest)}" if len(latest) > 1 else latest[0]
