"""What a command that knows the credentials prints: USER:PASSWORD in one line; pure.

No message repeats it.
"""

from typing import Final

from relay.proxies.url import Credentials, Scheme, credentials

LONGEST: Final = 16384
"""Bytes: a token may be long, and fits in a header field of squid's (64 KiB) all the same."""


def parse(scheme: Scheme, output: bytes) -> Credentials:
    """Read it, for a proxy of a scheme; raises ValueError with what is wrong."""
    username, colon, password = output.strip().partition(b":")
    if not colon or b"\n" in password:
        raise ValueError("it is not one line with a colon")
    return credentials(scheme, username, password)
