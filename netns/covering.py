"""Covers files; where nothing may be mounted, says whether the session can do without, and how."""

import errno
import os
from typing import Final

from netns import mounts
from netns.plan import Plan

_REFUSALS: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS})
"""Of mount(2) as a seccomp filter and AppArmor have them."""


def cover(plan: Plan, *, has_own: bool = True) -> str:
    """Cover the plan's files; return an empty text, or, for people, why none of them is covered.

    That is where nothing may be mounted, and the session can do without. If not `has_own`, the
    mount namespace is the caller's, and left as it is. Raises OSError, or SandboxError.
    """
    refused = _refused() if has_own else PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    if refused is not None:
        from netns import unmounted  # noqa: PLC0415 - for few

        return unmounted.require_without(plan, refused)
    mounts.cover(plan.files, plan.owned, plan.owned_folders)
    return ""


def _refused() -> OSError | None:
    """Begin to mount; return the error where nobody may, and raise any other."""
    try:
        mounts.take_no_more()
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return error
    return None
