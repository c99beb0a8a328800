"""What the init step and the relay of a pod agree on; imports nothing.

The init step makes the rules of the pod's network namespace, by which the connections of every
user but the relay's come to the relay's ports.
"""

from typing import Final

RELAY_UID: Final = 1337
"""Whose packets the rules leave alone, unless the init step was told another."""

TCP_PORT: Final = 15001
"""Of 127.0.0.1: every TCP connection comes here. At the relay's own address (dns_pool's second) the
rules lead to it too, for every user, the relay's included: who connects there finds the relay if
the rules stand, and is refused else."""

DNS_PORT: Final = 15053
"""Of 127.0.0.1 and ::1, UDP and TCP: every question to port 53 comes here, whatever its address."""

HTTP_PORT: Final = 15020
"""Of every address: /ready, /live and /metrics."""
