"""Hides the host's files and sockets from the command, but for the written lists: lists.py."""

import contextlib

from netns.plan import Plan
from netns.private import descriptors, masking, mounting, settings
from netns.private.looking import look
from netns.private.shares import Caller
from netns.private.tree import arranged
from netns.process import folder


def cover(plan: Plan) -> None:
    """Make the folders private and mask the sockets in sight; raises SandboxError.

    The caller is alone in a mount namespace of its own, with CAP_SYS_ADMIN over it, and what it
    imports later is not to be in a folder that is private now.
    """
    descriptors.check()
    with contextlib.ExitStack() as opened:
        found = look(plan, opened)
        mounting.take(arranged(found.steps))
    masking.mask(plan.sockets, _own(found.caller), found.shared)
    settings.protect_sys()
    settings.protect_elsewhere()
    folder.enter(found.caller.folder)  # from the old one `..` leads to what is hidden


def _own(caller: Caller) -> list[str]:
    """Return folders of the caller's that are looked through for sockets, whatever is listed."""
    own = [caller.home, f"{caller.home}/.ssh", f"{caller.home}/.gnupg"] if caller.home else []
    return [caller.folder, *own]
