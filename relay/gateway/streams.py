"""What a trio stream raises once one of its ends is gone; both sides of the gateway expect it."""

from typing import Final

import trio

GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
