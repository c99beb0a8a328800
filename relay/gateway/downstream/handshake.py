"""The TLS handshake with a program, and how a program shows that it distrusts the certificate."""

import ssl
from typing import Final

import trio

from relay.gateway.downstream.program_stream import ProgramStream

_LIMIT: Final = 10.0
"""Seconds for a program to complete the handshake."""

AT_ONCE: Final = 1.0
"""Seconds within which a client that checks certificates after the handshake has closed."""

_DISTRUST: Final = frozenset(
    {
        *("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "UNEXPECTED_EOF_WHILE_READING",  # Node, which closes without an alert
    }
)


class DistrustError(Exception):
    """The program has refused the certificate."""


async def secure(plain: ProgramStream, context: "ssl.SSLContext") -> trio.abc.Stream | None:
    """Complete the handshake as the server; return None if the program does not.

    Raises DistrustError. Shielded, for at most _LIMIT seconds: the reason why a program that is
    gone by now did not agree is still to be read.
    """
    stream = trio.SSLStream(plain, context, server_side=True, https_compatible=True)
    with trio.move_on_after(_LIMIT, shield=True):
        if not await plain.speaks():  # who closes without a byte has seen no certificate
            return None
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as error:
            if getattr(error.__cause__, "reason", None) in _DISTRUST:
                raise DistrustError from None
            return None
        return stream
    return None
