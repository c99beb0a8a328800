"""What a session prepares for its gateway before the command starts: mode, certificates, variables.

The program learns of the session's CA by a file beside the flight log, which is removed with the
session; it holds certificates alone, which are no secret.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netns.errors import KeeplineError
from relay.config import Hold, Settings
from relay.gateway.dialect import Identity
from relay.gateway.setup import certificates, choice, trust
from relay.gateway.setup.choice import Disabled, Enabled
from relay.gateway.setup.files import looker
from relay.policy.verdicts import Deny
from relay.record import files

if TYPE_CHECKING:  # a session in a namespace has none
    from relay.inbound.proxy.secret import Secret

BASE_URL_PORT: Final = 4430
"""The port of the base URL with `http`: on the namespace's loopback, where every port is free."""


@dataclass(frozen=True)
class Place:
    """Where programs find the base URL, with `http`."""

    port: int = BASE_URL_PORT
    """Of loopback."""
    secret: "Secret | None" = None
    """What paths begin with, where others than the program can connect; see relay/proxy."""

    def environment(self, chosen: Enabled) -> dict[str, str]:
        """Return the variables that lead programs here."""
        return chosen.environment(self.port, self.secret.path if self.secret is not None else "")

    def below(self, target: bytes) -> bytes | None:
        """Return a request's target below the secret; None if it does not begin with that."""
        return target if self.secret is None else self.secret.below(target)


_INSIDE: Final = Place()

UNKNOWN_PATH: Final = "the base URL has a token, which this request lacks"


@dataclass(frozen=True)
class Prepared:
    """A gateway that is ready to serve."""

    chosen: Enabled
    certificates: "certificates.Certificates | None"
    environment: dict[str, str]
    """The variables that the program gets."""
    hold: Hold
    silence: float | None
    """Seconds without a byte in an answer that has begun after which it counts as lost; not where
    it is passed on as it comes, and can be neither read nor asked for again. None: by what is known
    of the upstream, see answers/manners.py."""
    patience: float
    """Seconds in which a lost answer must have begun anew, once the program has its head."""
    place: Place = _INSIDE

    @property
    def told(self) -> str:
        """What is told of it in the log's first event."""
        return describe(self.chosen)

    @property
    def port(self) -> int | None:
        """The port of the namespace's loopback to listen on."""
        return BASE_URL_PORT if self.chosen.mode == "http" else None


@dataclass(frozen=True)
class Without:
    """The session has no gateway."""

    why: str
    by_choice: bool
    """Whether the caller wants it so."""
    environment: Mapping[str, str] = field(default_factory=dict)
    told: str = ""
    port: None = None


def choose(
    settings: Settings, command: Sequence[str], environment: Mapping[str, str]
) -> Enabled | Disabled:
    """Choose, and check that the origins' certificates can be verified; raises KeeplineError."""
    chosen = choice.choose(
        settings,
        command,
        environment,
        has_openssl=lambda: certificates.find() is not None,
        look=looker(environment),
    )
    if isinstance(chosen, Disabled):  # as in most sessions, which need nothing of what follows
        return chosen
    try:
        _require_trust(chosen, environment)
    except KeeplineError as error:
        if settings.gateway != "auto":
            raise
        return Disabled(error.cause, chosen.base.dialect.programs[0])
    return chosen


def _require_trust(chosen: Enabled, environment: Mapping[str, str]) -> None:
    if not trust.roots(environment) and any(origin.tls for origin in chosen.origins):
        raise KeeplineError(
            "the gateway trusts nobody: this system has no certificate authorities",
            "install ca-certificates, or set SSL_CERT_FILE, or use --gateway=off",
        )


@contextlib.contextmanager
def opened(
    settings: Settings,
    command: Sequence[str],
    bundle: Path,
    warn: Callable[[str], None],
    place: Place = _INSIDE,
) -> Iterator[Prepared | Without]:
    """Prepare what the chosen mode needs, for as long as the session lasts; raises KeeplineError.

    The session's CA is written to `bundle`. If it was not asked for, `warn` is told what it lacks.
    """
    chosen = choose(settings, command, os.environ)
    _warn_of_denial(settings, command, warn)
    if isinstance(chosen, Disabled):
        if settings.gateway == "auto" and chosen.program:
            warn(f"the gateway is off: {chosen.why}")
        yield Without(chosen.why, by_choice=settings.gateway == "off")
        return
    _check_identities(chosen, warn)
    made, variables = None, place.environment(chosen)
    if chosen.certificate_hosts:
        openssl = certificates.find()
        assert openssl is not None
        try:
            made = certificates.make(chosen.certificate_hosts, openssl=openssl)
            write_authority(made.ca, bundle, warn)
        except KeeplineError as error:
            if settings.gateway != "auto":
                raise
            warn(f"the gateway is off: {error.cause}")
            yield Without(error.cause, by_choice=False)
            return
        variables = {choice.EXTRA: str(bundle)}
    try:
        hold, silence = _hold(settings), settings.stream_silence or None
        with trust.copied(os.environ, _identities(chosen)):
            yield Prepared(chosen, made, variables, hold, silence, settings.patience, place)
    finally:
        with contextlib.suppress(OSError):
            bundle.unlink()


def _hold(settings: Settings) -> Hold:
    if settings.hold == "auto":  # on a terminal somebody reads along; else it may come at once
        return "block" if os.isatty(1) else "message"
    return settings.hold


def _check_identities(chosen: Enabled, warn: Callable[[str], None]) -> None:
    """Warn of certificates that are to be presented to the origins, and cannot be."""
    for identity in _identities(chosen):
        trust.check_identity(os.environ, identity, warn)


def _identities(chosen: Enabled) -> set[Identity]:
    """Return the certificates that may be presented to the origins."""
    all_ = {origin.dialect.identity for origin in chosen.origins if origin.tls}
    return {identity for identity in all_ if identity is not None}


def _warn_of_denial(
    settings: Settings, command: Sequence[str], warn: Callable[[str], None]
) -> None:
    """Say before the command starts that a rule keeps an agent from its API.

    Many would try for minutes without a word.
    """
    if not settings.has_rules:
        return
    needed = choice.needed(settings, command, os.environ, looker(os.environ))
    if needed is None:
        return
    program, destination = needed
    verdict = settings.policy().decide(destination)
    if isinstance(verdict, Deny):
        rule = f"deny {verdict.told}" if verdict.is_by_rule else verdict.rule
        warn(
            f"{program} needs {destination.host}:{destination.port}, which this session denies"
            f" ({rule}); --allow and --deny change that"
        )


def write_authority(ca: str, path: Path, warn: Callable[[str], None]) -> None:
    """Write the authorities that the program is to trust besides its own."""
    text = trust.extra_ca_text(os.environ, ca, warn=warn)
    try:
        with files.opened_folder(path.parent) as folder:
            fd = files.made(folder, path.name)  # for its owner alone: who can add to it is trusted
        with open(fd, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
    except OSError as error:
        raise KeeplineError(
            f"the gateway's certificate cannot be shown to the program: {path}: {error.strerror}",
            "set XDG_STATE_HOME to a folder that is writable, or use --gateway=http or off",
        ) from error


def describe(chosen: Enabled | Disabled) -> str:
    """Describe for people whether it is on, and what it reads."""
    if isinstance(chosen, Disabled):
        return f"gateway off ({chosen.why})"
    hosts = ", ".join(dict.fromkeys(origin.host for origin in chosen.origins))
    return (
        f"gateway on ({chosen.mode}; {chosen.why}): it reads requests to {hosts} and their answers,"
        " and keeps nothing of either"
    )
