"""Which capabilities the calling process has in force, capabilities(7), and those that count."""

from pathlib import Path
from typing import Final

SETGID: Final = 6
SETUID: Final = 7
SETPCAP: Final = 8
NET_ADMIN: Final = 12
SETFCAP: Final = 31


def effective() -> int:
    """Return them as bits, out of /proc/self/status."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("CapEff:")[1].split()[0], 16)


def has(capability: int) -> bool:
    """Return whether one of them is in force."""
    return bool(effective() >> capability & 1)
