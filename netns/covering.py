"""Covers files; where nothing may be mounted, tells whether that can be done without, and how."""

from netns import mounts
from netns.plan import Plan


def cover(plan: Plan) -> str:
    """Cover the plan's files; return why none is, for people, if that can be done without.

    The caller is in a mount namespace of its own. Raises OSError, or SandboxError.
    """
    try:
        mounts.take_no_more()
    except OSError as error:
        from netns import unmounted  # noqa: PLC0415 - for few

        if error.errno not in unmounted.REFUSALS:
            raise
        return unmounted.require_without(plan, error)
    mounts.cover(plan.files, plan.owned, plan.owned_folders)
    return ""
