"""What a program shows to be let in: a user and a token, which other users of the host lack; pure.

Everybody on the host can connect to its loopback. HTTP has them in Proxy-Authorization (RFC 9110
section 11.7.2, Basic of RFC 7617), SOCKS5 in RFC 1929, and the gateway's base URL in its path.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import Final

USER: Final = "keepline"

BYTES: Final = 16
"""Random ones, of which a token is made: as many as a guess would have to match."""


@dataclass(frozen=True)
class Secret:
    """The token of a session."""

    token: str = field(repr=False)
    """Letters, digits, - and _: it stands in URLs as it is."""

    @classmethod
    def of(cls, randomness: bytes) -> "Secret":
        """Make a token of random bytes."""
        return cls(base64.urlsafe_b64encode(randomness).rstrip(b"=").decode())

    @property
    def userinfo(self) -> str:
        """What stands before the host in a proxy's URL, with its @."""
        return f"{USER}:{self.token}@"

    @property
    def path(self) -> str:
        """What the path of the gateway's base URL begins with."""
        return f"/{self.token}"

    def fits(self, user: bytes, password: bytes) -> bool:
        """Return whether these are the user and the token, in a time that tells nothing of it."""
        known = hmac.compare_digest(password, self.token.encode())
        return user == USER.encode() and known

    def fits_basic(self, value: bytes) -> bool:
        """Return whether a field's value has them, as Basic writes them."""
        scheme, _space, encoded = value.strip().partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            user, _colon, password = base64.b64decode(encoded.strip(), validate=True).partition(
                b":"
            )
        except binascii.Error:
            return False
        return self.fits(user, password)

    def below(self, target: bytes) -> bytes | None:
        """Return a path without the token that it has to begin with; None if it does not."""
        first, slash, rest = target.removeprefix(b"/").partition(b"/")
        if not target.startswith(b"/") or not hmac.compare_digest(first, self.token.encode()):
            return None
        return slash + rest or b"/"
