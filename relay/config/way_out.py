"""The session's way out through a proxy, found before its command starts: all that comes of files.

What the command can change is not asked later: neither /etc/hosts nor, where it lies within the
command's reach, what prints credentials.
"""

import os
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netns.errors import KeeplineError
from relay.addresses import canonical, is_ipv4
from relay.config import Settings
from relay.proxies import printed, routes, variables
from relay.proxies.routes import Routes, VariableError
from relay.proxies.url import Credentials

HOSTS: Final = Path("/etc/hosts")

SECONDS: Final = 30.0
"""For the command that prints credentials."""

_NAME_IT: Final = "--proxy URL names one"

_NO_CREDENTIALS: Final = "proxy_command prints no credentials"
_FIX: Final = (
    "have it print USER:PASSWORD in one line, and end with status 0;"
    " --proxy off has programs find it themselves, as without keepline"
)


@dataclass(frozen=True)
class WayOut:
    """The proxies of a session, and where those are whose names this host knows itself."""

    routes: Routes
    known: Mapping[str, str]
    """Addresses by name."""
    resolves_here: bool
    """Whether names are resolved on this host, and proxies asked for addresses."""
    command: tuple[str, ...] = ()
    """What prints credentials, if anything does."""
    why_once: str = ""
    """Why that is not run again, if it is not."""
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
    can_change: Callable[[Path], bool] | None = None,
) -> WayOut | None:
    """Return the way out that settings and environment name; None if it is direct.

    A variable that names what cannot be used is said, and left to the programs. `can_change` tells
    whether the command may change what is at a path. Raises KeeplineError.
    """
    try:
        found = routes.routes(settings.proxy, environment)
    except VariableError as error:
        warn(f"the proxy is left to programs, for {error}; {_NAME_IT}")
        return None
    if found is None:
        if settings.proxy == routes.AUTO and (named := variables.pac_file(environment)):
            warn(f"{named} names a PAC file, which is a program and not read; {_NAME_IT}")
        return None
    command, why_once = _words(settings.proxy_command), ""
    if command:
        found = found.with_credentials(_asked(command, found))
        why_once = _why_once(command, can_change or _can_change, is_strict=settings.strict)
    names = {each.host for each in found.proxies if not is_ipv4(each.host)}
    resolves_here = settings.proxy_dns or settings.dns == "real"
    return WayOut(found, _known(names, hosts), resolves_here, command, why_once)


def _words(command: str) -> tuple[str, ...]:
    """Return what prints credentials, its program by its path; raises KeeplineError."""
    try:
        program, *words = shlex.split(command) or [""]
    except ValueError as error:
        raise KeeplineError(f"{_NO_CREDENTIALS}: {error}", _FIX) from None
    return (shutil.which(program) or program, *words) if program else ()


def _why_once(words: Sequence[str], can_change: Callable[[Path], bool], *, is_strict: bool) -> str:
    """Return why such a command is not run again once the session's command has started.

    It runs outside, so it must not be what that one has written. What it reads by itself is not
    known here: with --strict, where no process outside may do the session's will, it runs once.
    """
    if is_strict:
        return "with --strict, proxy_command is not run again"
    for word in words:
        path = Path(word).absolute()
        if path.exists() and can_change(path):
            return f"proxy_command is not run again, for the session's command can change {path}"
    return ""


def _can_change(path: Path) -> bool:
    """Return whether this user can write to a file, or to a folder that leads to it."""
    for each in (path, *path.parents, *(real := path.resolve()).parents, real):
        if os.access(each, os.W_OK) or each.stat().st_uid == os.getuid():
            return True
    return False


def _asked(words: Sequence[str], found: Routes) -> Credentials:
    """Run what prints USER:PASSWORD; raises KeeplineError, without what it printed."""
    try:
        done = subprocess.run(  # noqa: S603 - the caller's own, and not through a shell
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise KeeplineError(f"{_NO_CREDENTIALS}: {cause}", _FIX) from None
    except subprocess.SubprocessError as error:
        is_late = isinstance(error, subprocess.TimeoutExpired)
        why = f"no end within {SECONDS:g} s" if is_late else "it has failed"
        raise KeeplineError(f"{_NO_CREDENTIALS}: {why}", _FIX) from None
    try:
        return next(printed.parse(each.scheme, done.stdout) for each in found.proxies)
    except ValueError as error:
        raise KeeplineError(f"{_NO_CREDENTIALS}: {error}", _FIX) from None


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
