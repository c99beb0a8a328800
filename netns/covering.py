"""Covers files; where nothing may be mounted, says whether the session can do without, and how."""

import errno
import os

from netns import mounts
from netns.plan import Plan


def cover(plan: Plan, *, has_own: bool = True) -> str:
    """Cover the plan's files; return an empty text, or, for people, why none of them is covered.

    That is where nothing may be mounted, and the session can do without. If not `has_own`, the
    mount namespace is the caller's, and left as it is. Raises OSError, or SandboxError.
    """
    try:
        if not has_own:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        mounts.take_no_more()
    except OSError as error:
        from netns import unmounted  # noqa: PLC0415 - for few

        if error.errno not in unmounted.REFUSALS:
            raise
        return unmounted.require_without(plan, error)
    mounts.cover(plan.files, plan.owned, plan.owned_folders)
    return ""
