"""What a session prepares for its gateway before the command starts: door, certificates, words.

The program learns of the session's CA by a file beside the flight log, which goes with the session;
it holds certificates alone, which are no secret.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, assert_never

from netns.errors import KeeplineError
from relay.config import Settings
from relay.gateway.setup import choice as doors
from relay.gateway.setup.choice import Closed, Doors

if TYPE_CHECKING:
    from relay.gateway.hold import Hold
    from relay.gateway.setup.certificates import Certificates

DOOR_PORT: Final = 4430
"""Of the http door, on the namespace's loopback, where every port is free."""

EXTRA_CA: Final = "NODE_EXTRA_CA_CERTS"


@dataclass(frozen=True)
class Entry:
    """A gateway that can be opened."""

    doors: Doors
    certificates: "Certificates | None"
    hold: "Hold"
    environment: Mapping[str, str]
    """What the program is told."""

    @property
    def port(self) -> int | None:
        """The port of the namespace's loopback that is to be listened on."""
        return DOOR_PORT if self.doors.door == "http" else None


def choose(
    settings: Settings, command: Sequence[str], environment: Mapping[str, str]
) -> Doors | Closed:
    """Choose the door, and see that what lies behind it can be trusted; raises KeeplineError."""
    if settings.gateway == "off" or (settings.gateway == "auto" and not doors.is_for(command)):
        return Closed(f"gateway = {settings.gateway}")  # most sessions need nothing of what follows
    from relay.gateway.setup import certificates, trust  # noqa: PLC0415

    chosen = doors.choose(
        settings.gateway,
        settings.gateway_hosts,
        command,
        environment,
        dns=settings.dns,
        openssl=certificates.find() is not None,
    )
    if isinstance(chosen, Closed):
        return chosen
    try:
        has_roots = bool(trust.roots(environment))
    except KeeplineError as error:
        if settings.gateway != "auto":
            raise
        return Closed(error.cause)
    if has_roots or not any(upstream.tls for upstream in chosen.upstreams):
        return chosen
    lack = "the gateway trusts nobody: this system has no certificate authorities"
    if settings.gateway != "auto":
        hint = "install ca-certificates, or set SSL_CERT_FILE, or use --gateway=off"
        raise KeeplineError(lack, hint)
    return Closed(lack)


@contextlib.contextmanager
def opened(
    settings: Settings, command: Sequence[str], bundle: Path, warn: Callable[[str], None]
) -> Iterator[Entry | None]:
    """Make what the chosen door needs, for as long as the session lasts; None if it is off.

    The session's CA is written to `bundle`. Raises KeeplineError; where the gateway was not asked
    for by name, that it cannot be had is told by `warn`.
    """
    chosen = choose(settings, command, os.environ)
    match chosen:
        case Closed(why):
            if settings.gateway == "auto" and doors.is_for(command):
                warn(f"the gateway is off: {why}")
            yield None
            return
        case Doors():
            pass
        case _:
            assert_never(chosen)
    hold: Hold = settings.hold if settings.hold != "auto" else _by_terminal()
    if not chosen.certificate_hosts:
        yield Entry(chosen, None, hold, chosen.environment(DOOR_PORT))
        return
    from relay.gateway.setup import certificates  # noqa: PLC0415

    openssl = certificates.find()
    assert openssl is not None
    try:
        made = certificates.make(chosen.certificate_hosts, openssl=openssl)
        _write(made.ca, bundle, warn)
    except KeeplineError as error:
        if settings.gateway != "auto":
            raise
        warn(f"the gateway is off: {error.cause}")
        yield None
        return
    try:
        yield Entry(chosen, made, hold, {EXTRA_CA: str(bundle)})
    finally:
        with contextlib.suppress(OSError):
            bundle.unlink()


def _write(ca: str, path: Path, warn: Callable[[str], None]) -> None:
    """Write the authorities that the program is to trust besides its own."""
    from relay.gateway.setup import trust  # noqa: PLC0415

    text = trust.extra_ca_text(os.environ, ca, warn=warn)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)  # whatever the umask: who can add to it is trusted
        path.write_text(text)
    except OSError as error:
        raise KeeplineError(
            f"the gateway's certificate cannot be shown to the program: {path}: {error.strerror}",
            "set XDG_STATE_HOME to a folder that is writable, or use --gateway=http or off",
        ) from error


def _by_terminal() -> "Hold":
    """On a terminal somebody reads along; else nobody minds a message that comes at once."""
    return "block" if os.isatty(1) else "message"


def described(chosen: Doors | Closed) -> str:
    """Say for people whether it is on, and what it reads."""
    if isinstance(chosen, Closed):
        return f"gateway off ({chosen.why})"
    hosts = ", ".join(dict.fromkeys(upstream.host for upstream in chosen.upstreams))
    return (
        f"gateway on ({chosen.door}; {chosen.why}): it reads requests to {hosts} and their answers,"
        " and keeps nothing of either"
    )
