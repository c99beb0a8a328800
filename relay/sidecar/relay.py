"""`keepline sidecar relay`: relays for all containers of a pod, with no privilege at all.

The rules of `keepline sidecar rules` lead connections and questions to it. It makes no namespace,
and writes nothing but on the volumes that it is given.
"""

import argparse
import contextlib
import importlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

import trio

from netns.errors import KeeplineError
from netns.network.pod import HTTP_PORT, RELAY_UID
from relay import flags, recorded, relaying, server, startup
from relay.addresses import parse_pool
from relay.barrier import kept_running
from relay.command import signals
from relay.config import Settings, Sources
from relay.gateway.setup.prepare import BASE_URL_PORT
from relay.host.interfaces import require_ipv4
from relay.host.resolvers import read_resolv_conf
from relay.printing import warn
from relay.record import files, writing
from relay.record.events import AnyEvent, Event
from relay.record.metrics import Metrics
from relay.sidecar import gateway, pod
from relay.sidecar.draining import Ending
from relay.sidecar.endpoint.http import Endpoint
from relay.sidecar.kept.names import KeptNames
from relay.sidecar.kept.parts import Parts
from relay.sidecar.rules_watch import RulesWatch

DRAIN_SECONDS: Final = 25
"""Less than the 30 s of Kubernetes' terminationGracePeriodSeconds, LAST_WORDS included."""

LAST_WORDS: Final = 2.0
"""Seconds, once connections may not go on, for what programs that have ended sent last."""

_MIB: Final = 1 << 20

NOT_OF_PODS: Final = frozenset(
    {
        *("auto_ports", "home", "host_ports", "intercept", "linger", "ports", "publish"),
        *("share", "strict"),
    }
)
"""Settings about a command, and the namespace that is made for it."""


def main(arguments: Sequence[str]) -> int:
    """Relay until SIGTERM; return the exit status. Raises KeeplineError, and OSError."""
    parser = flags.Parser(
        prog="keepline sidecar relay", description="Relay for all containers of a pod."
    )
    _add_flags(parser)
    parsed = parser.parse_args(arguments)
    sources = flags.sources(parsed)
    settings = sources.settings()
    _require_user(parsed.uid)
    require_ipv4()
    read_resolv_conf(settings.nameservers)
    with startup.without_library_search():
        startup.load(trio)
    with ExitStack() as opened:
        made = _made(settings, sources, parsed, opened)
        trio.run(made.serve, float(parsed.drain_seconds))
    return 0


def folders(state: str | None, warn: Callable[[str], None]) -> tuple[Path, Path]:
    """Return the folder of names, and that of the record below it, on the volume `state`.

    Without one both are where `run` has its record. Where that has to be a folder for what need not
    last, which has nothing above it that is ours, names are in it too. The folder of names is made
    for this user alone, whatever the umask is.
    """
    sessions = files.sessions_on(state) if state else files.sessions_folder(os.environ)
    names = sessions.parent
    if not files.is_lasting(sessions):
        names = sessions
        warn(f"names are kept in {names}, which may not outlast this container: try --state DIR")
    with contextlib.suppress(OSError):  # whoever needs it says so
        names.mkdir(mode=0o700, parents=True, exist_ok=True)
    return names, sessions


def _add_flags(parser: flags.Parser) -> None:
    """Add what only a pod's relay has, and the settings."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="volume for names, their addresses and the record (default: as for run)",
    )
    parser.add_argument(
        "--uid",
        metavar="N",
        type=_whole,
        default=RELAY_UID,
        help=f"the user that the pod's rules leave alone, and who this has to be ({RELAY_UID})",
    )
    parser.add_argument(
        "--drain-seconds",
        metavar="N",
        type=_whole,
        default=DRAIN_SECONDS,
        help=f"how long connections go on after SIGTERM, at most ({DRAIN_SECONDS})",
    )
    parser.add_argument(
        "--gateway-dir",
        metavar="DIR",
        help="volume by which programs learn of --gateway=tls or http; auto is off in a pod",
    )
    parser.add_argument(
        "--otlp",
        metavar="URL",
        type=_url,
        help="push metrics to a collector, http://HOST:4318/v1/metrics (default: nobody)",
    )
    flags.add_settings(parser, without=NOT_OF_PODS)


def _whole(text: str) -> int:
    """Read a number that is not negative."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _url(text: str) -> str:
    """Read where a collector is, which nobody else looks at before the first push."""
    scheme, _, rest = text.partition("://")
    if scheme not in {"http", "https"} or not rest.partition("/")[0]:
        raise argparse.ArgumentTypeError(f"{text!r} is not like http://HOST:4318/v1/metrics")
    return text


def _require_user(uid: int) -> None:
    """Raise KeeplineError if the rules would lead the relay's own connections back to it."""
    if os.geteuid() != uid:
        raise KeeplineError(
            f"this is user {os.geteuid()}, and the rules leave user {uid} alone: what the relay"
            " dials would come back to it",
            f"run it as user {uid}, or give --uid N here and to keepline sidecar rules",
        )


def _made(
    settings: Settings, sources: Sources, parsed: "argparse.Namespace", opened: ExitStack
) -> "_Pod":
    """Open all that a pod's relay needs; raises KeeplineError, and OSError."""
    sockets = pod.open_sockets(BASE_URL_PORT if settings.gateway == "http" else None)
    opened.callback(sockets.close)
    http = opened.enter_context(closing(pod.listen_everywhere(HTTP_PORT)))
    # Only now: another relay of the pod, if there is one, keeps what it has told programs.
    prepared = opened.enter_context(gateway.opened(settings, parsed.gateway_dir, warn))
    out = relaying.found_way_out(settings, warn)
    held = opened.enter_context(closing(signals.hold()))  # what is started later unblocks them
    started = recorded.started(settings, prepared, out, "", "sidecar", "redirect")
    metrics = Metrics()
    if parsed.otlp is not None:
        opened.callback(pushing(parsed.otlp, metrics))
    names, sessions = folders(parsed.state, warn)
    parts = Parts(sessions, started, limit=settings.log_limit * _MIB, warn=warn)
    opened.callback(parts.close)

    def record(event: Event) -> None:
        metrics.note(cast("AnyEvent", event))
        parts.record(event)

    rules = RulesWatch(str(parse_pool(settings.dns_pool)[1]), record)
    relay = server.Relay(
        settings,
        pod.ways_in(sockets, rules),
        record,
        prepared,
        sources,
        way_out=out,
    )
    ending = Ending(held, record)
    endpoint = Endpoint(http, rules, metrics, record, is_ending=ending.has_begun.is_set)
    return _Pod(relay, ending, rules, endpoint, parts, names)


def pushing(url: str, metrics: Metrics) -> Callable[[], None]:
    """Begin to push metrics; return what ends that.

    Raises KeeplineError where the library for that is missing, which few want and none else load.
    """
    try:
        push = importlib.import_module("relay.sidecar.endpoint.otlp").Push(url, metrics)
    except ModuleNotFoundError as error:
        raise KeeplineError(
            f"metrics cannot be pushed: there is no {error.name}", "pip install 'keepline[otlp]'"
        ) from error
    close: Callable[[], None] = push.close
    return close


@dataclass(eq=False)
class _Pod:
    """A relay with all that a pod's has beside it."""

    relay: server.Relay
    ending: Ending
    rules: RulesWatch
    endpoint: Endpoint
    parts: Parts
    folder: Path
    """Of names."""

    async def serve(self, drain_seconds: float) -> None:
        """Relay until it is time to end, and deliver what was sent last."""
        startup.end()
        record, began = self.relay.record, trio.current_time()
        kept = self._kept(began)
        try:
            async with trio.open_nursery() as nursery:
                for where, service in (
                    ("writer of the log", partial(writing.write_log, self.parts)),
                    ("signals", self.ending.watch),
                    ("relay", self.relay.serve),
                    ("watch of the pod's rules", self.rules.watch),
                    ("HTTP", self.endpoint.serve),
                ):
                    nursery.start_soon(kept_running, record, where, service)
                await self.ending.wait(drain_seconds, self.relay.live)
                with trio.move_on_after(LAST_WORDS):
                    await self.ending.unless_at_once(self.relay.finish)
                nursery.cancel_scope.cancel()
        finally:
            if kept is not None:
                kept.close()
        relaying.end(self.relay, 0, began)

    def _kept(self, now: float) -> KeptNames | None:
        """Have names kept; where that is impossible, say so, and go on without."""
        synthetic = self.relay.names.synthetic
        try:
            return KeptNames(self.folder, synthetic, self.relay.record, now)
        except OSError as error:
            warn(
                "names are not kept, and have other addresses after a restart:"
                f" {self.folder}: {error.strerror}; try --state DIR, a volume of this user's"
            )
            return None
