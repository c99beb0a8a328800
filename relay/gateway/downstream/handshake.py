"""The TLS handshake with a program, and how a program shows that it distrusts the certificate."""

import ssl
from typing import Final

import trio

from relay.gateway.downstream.program_stream import ProgramStream
from relay.tcp.transfer.client_hello import First
from relay.tls import was_cut

_LIMIT: Final = 10.0
"""Seconds for a program to say its first word, and as many to complete the handshake."""

AT_ONCE: Final = 3.0
"""Seconds after the handshake within which a client has closed that checks certificates then.

On a busy machine it takes the slower ones, Bun among them, more than one."""

_ALERTS: Final = frozenset(
    {
        *("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
        "SSLV3_ALERT_BAD_CERTIFICATE",
    }
)


class DistrustError(Exception):
    """The program has refused the certificate."""

    def __init__(self, *, is_said: bool) -> None:
        """Keep whether it has said so, or has closed without a word as Node does."""
        super().__init__()
        self.is_said = is_said


async def first_word(plain: ProgramStream) -> First | None:
    """Return the ClientHello, or whatever it is; None if the program says nothing, or is gone.

    Shielded, for at most _LIMIT seconds: as in secure().
    """
    with trio.move_on_after(_LIMIT, shield=True):
        return await plain.first_word()
    return None


async def secure(plain: ProgramStream, context: "ssl.SSLContext") -> trio.abc.Stream | None:
    """Complete the handshake as the server; return None if the program does not.

    Raises DistrustError. Shielded, for at most _LIMIT seconds: the reason why a program that is
    gone by now did not agree is still to be read.
    """
    stream = trio.SSLStream(plain, context, server_side=True, https_compatible=True)
    with trio.move_on_after(_LIMIT, shield=True):
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as error:
            reason = getattr(error.__cause__, "reason", None)
            if reason in _ALERTS or was_cut(error.__cause__):
                raise DistrustError(is_said=reason in _ALERTS) from None
            return None
        return stream
    return None
