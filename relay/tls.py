"""TLS for which a connection that was cut is not one that has ended, on every Python.

Some releases of 3.10 and 3.11 have OpenSSL take an end of the connection for the end of what was
said (SSL_OP_IGNORE_UNEXPECTED_EOF, SSL_CTX_set_options(3)). A cut answer would then look whole, and
a program that closes on seeing a certificate like one that says good-bye.
"""

import ssl
from typing import Final

CUT: Final = "UNEXPECTED_EOF_WHILE_READING"
"""The reason of the SSLError for it, OpenSSL 3; the same releases raise no SSLEOFError then."""


def context(protocol: int) -> "ssl.SSLContext":
    """Return a context of ssl.PROTOCOL_TLS_SERVER or PROTOCOL_TLS_CLIENT: TLS 1.2 or later."""
    made = ssl.SSLContext(protocol)
    made.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # absent before OpenSSL 3
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def was_cut(error: BaseException | None) -> bool:
    """Return whether an error of the ssl module means that the connection has ended, not TLS."""
    return isinstance(error, ssl.SSLEOFError) or getattr(error, "reason", None) == CUT
