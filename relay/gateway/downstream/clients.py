"""Which programs go past the gateway, as they have refused the session's certificate; pure.

Not every program heeds the variable by which it learns of the session's authority. Such a one gets
a certificate error once; its next connections are passed through, as to any other host. Programs
are told apart by their ClientHellos (relay/tcp/transfer/client_hello.py).

1. Who has sent data of its own through the gateway believes the certificate, and never goes past
   it, whatever happens before or after. So no fault makes an agent do so; nor does a program that
   it starts go past, if that has the same TLS library, set alike.
2. Who says by a TLS alert that it refuses the certificate has refused it.
3. Who closes without a word, when it has the certificate and before it has sent data of its own,
   may have: Node, Bun, Java's HttpClient and GnuTLS do. It may also have been killed at that
   moment, or have changed its mind. So it takes TWICE, and counts only once some program believes
   the certificate: what an agent starts comes after the agent's own first request.
4. Nothing else shows anything: a reset, a time-out, an end before the certificate has arrived.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from relay.tcp.transfer.client_hello import Fingerprint

TWICE: Final = 2


@dataclass
class Clients:
    """What is known of the programs of a session; None is one whose ClientHello cannot be read."""

    _believing: set[Fingerprint | None] = field(default_factory=set)
    _refusing: set[Fingerprint | None] = field(default_factory=set)
    _closing: Counter[Fingerprint | None] = field(default_factory=Counter)

    def believes(self, client: Fingerprint | None) -> bool:
        """Return whether it has sent data of its own."""
        return client in self._believing

    def goes_past(self, client: Fingerprint | None) -> bool:
        """Return whether its connections are passed through."""
        if client is None or self.believes(client):
            return False
        is_probable = self._closing[client] >= TWICE and bool(self._believing)
        return is_probable or client in self._refusing

    def has_sent_data(self, client: Fingerprint | None) -> None:
        """Note that it believes the certificate."""
        self._believing.add(client)

    def has_refused(self, client: Fingerprint | None) -> None:
        """Note an alert."""
        self._refusing.add(client)

    def has_closed(self, client: Fingerprint | None) -> None:
        """Note that it has closed without a word."""
        self._closing[client] += 1
