"""The session's way out through a proxy, found before its command starts: all that comes of files.

What the command can change is not asked later: neither /etc/hosts nor the command that prints
credentials, which may lie where it can write.
"""

import shlex
import ssl
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netns.errors import KeeplineError
from relay.addresses import canonical, is_ipv4
from relay.config import Settings
from relay.proxies import routes
from relay.proxies.routes import Routes, VariableError
from relay.proxies.url import Credentials, credentials

HOSTS: Final = Path("/etc/hosts")

SECONDS: Final = 30.0
"""For the command that prints credentials."""

_OFF: Final = "--proxy off has programs find it themselves, as without keepline"


@dataclass(frozen=True)
class WayOut:
    """The proxies of a session, and where those are whose names this host knows itself."""

    routes: Routes
    known: Mapping[str, str]
    """Addresses by name."""
    resolves_here: bool
    """Whether names are resolved on this host, and proxies asked for addresses."""
    context: "ssl.SSLContext | None" = None
    """For TLS with a proxy, made before the command can change whom it trusts."""

    @property
    def needs_context(self) -> bool:
        """Whether TLS is spoken with a proxy."""
        return any(each.scheme == "https" for each in self.routes.proxies)

    def is_left(self, name: str) -> bool:
        """Return whether a name is the proxy's to resolve, so that nobody else is asked for it."""
        return not self.resolves_here and self.routes.resolves(name)


def find(
    settings: Settings,
    environment: Mapping[str, str],
    warn: Callable[[str], None],
    *,
    hosts: Path = HOSTS,
) -> WayOut | None:
    """Return the way out that settings and environment name; None if it is direct.

    A variable that names what cannot be used is said, and left to the programs. Raises
    KeeplineError.
    """
    try:
        found = routes.routes(settings.proxy, environment)
    except VariableError as error:
        warn(f"the proxy is left to programs, for {error}; --proxy URL names one")
        return None
    if found is None:
        return None
    if settings.proxy_command:
        found = found.with_credentials(_asked(settings.proxy_command, found))
    names = {each.host for each in found.proxies if not is_ipv4(each.host)}
    resolves_here = settings.proxy_dns or settings.dns == "real"
    return WayOut(found, _known(names, hosts), resolves_here)


def _asked(command: str, found: Routes) -> Credentials:
    """Run the command that prints USER:PASSWORD; raises KeeplineError, without what it printed."""
    what = "proxy_command prints no credentials"
    fix = f"have it print USER:PASSWORD in one line, and end with status 0; {_OFF}"
    try:
        done = subprocess.run(  # noqa: S603 - the caller's own, and not through a shell
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, ValueError) as error:
        raise KeeplineError(f"{what}: {getattr(error, 'strerror', None) or error}", fix) from None
    except subprocess.SubprocessError as error:
        is_late = isinstance(error, subprocess.TimeoutExpired)
        why = f"no end within {SECONDS:g} s" if is_late else "it has failed"
        raise KeeplineError(f"{what}: {why}", fix) from None
    username, colon, password = done.stdout.strip().partition(b":")
    if not colon or b"\n" in password:
        raise KeeplineError(f"{what}: it is not one line with a colon", fix)
    try:
        return next(credentials(each.scheme, username, password) for each in found.proxies)
    except ValueError as error:
        raise KeeplineError(f"{what}: {error}", fix) from None


def _known(names: set[str], hosts: Path) -> dict[str, str]:
    """Return the addresses of those of the names that /etc/hosts has, and of localhost."""
    known = {name: "127.0.0.1" for name in names if f".{name}".endswith(".localhost")}
    if names <= known.keys():
        return known
    try:
        text = hosts.read_text(errors="replace")
    except OSError:
        return known
    for line in text.splitlines():
        address, *aliases = line.partition("#")[0].split() or [""]
        if is_ipv4(address):
            for name in names & set(map(canonical, aliases)):
                known.setdefault(name, address)
    return known
