"""`keepline run --relay PATH`: runs the command in a sealed container, and has it relayed outside.

Everything is made here as a session makes it: the namespace, or the container's own if it is empty
and no other can be had, the listeners, and what may not be kept. Then the sockets go to the relay,
and no copy stays in use here. Nothing is relayed without it: while it is away, all is refused.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import trio

from netns.errors import KeeplineError
from netns.sandbox import Ended, Plan, Sandbox, SandboxError, adopt_orphans
from relay import __version__, session, startup
from relay.barrier import kept_running
from relay.command import signals, waiting
from relay.command.beside import Beside
from relay.command.passing import Passing
from relay.config import Entry, Project, Settings, Sources, described
from relay.config.publishing import OFF
from relay.gateway.setup import choice
from relay.gateway.setup.command import agent_of
from relay.gateway.setup.files import looker
from relay.gateway.setup.prepare import Without, write_authority
from relay.policy import presets
from relay.record.events import Event
from relay.record.files import sessions_folder
from relay.remote import messages
from relay.remote.link import Link

OWN: Final = frozenset(
    {"relay", "allow", "deny", "policy_mode", "presets", "private", "publish"}
    | {"strict", "share", "home", "linger"}
)
"""Settings that count inside; of the rules, and of publishing, only what tightens."""

_VARIABLE: Final = "KEEPLINE_RELAY"
_OWN_WILL_DO: Final = "start the container as root with --network=none --cap-add NET_ADMIN"
_NOTHING: Final = messages.Asked()
_MOST_OF_NAME: Final = 256
"""Characters of the command's first word that are told."""


def run(
    sandbox: Sandbox,
    sources: Sources,
    command: Sequence[str],
    warn: Callable[[str], None],
    beside: Beside,
) -> Ended:
    """Run the command, relayed for by the relay at `settings.relay`; return how it ended.

    Raises KeeplineError, before the command has started, and EndedEarlyError.
    """
    settings = sources.settings()
    _require_own(sources)
    with ExitStack() as opened:
        link = opened.enter_context(closing(Link(Path(settings.relay), hello(settings, command))))
        welcome = link.greet()
        opened.callback(sandbox.end)
        # What runs keepline inside has the network of this session.
        added = {**welcome.environment, **_shown(welcome, warn, opened), _VARIABLE: None}
        planned = _plan(settings, welcome, command, added)
        _build(sandbox, planned)
        passing = Passing(sandbox, opened.enter_context(closing(signals.hold())), beside.witness)
        if settings.linger:
            adopt_orphans()
        listeners = sandbox.unreleased()
        session.tell_lacking(replace(listeners, unmounted=""), settings, warn)
        link.hand_over(listeners, beside.maker)
        session.release(sandbox, Without("", by_choice=True), warn, has_proxy=False)
        return trio.run(_run, link, passing, settings, warn, beside.maker.pid)


def _build(sandbox: Sandbox, planned: Plan) -> None:
    """Let the namespace be built; raises SandboxError, which names what else would do here."""
    try:
        sandbox.build(planned)
    except SandboxError as error:
        if "unshare" not in error.cause:
            raise
        raise SandboxError(error.cause, f"{_OWN_WILL_DO}; or: {error.next_step}") from error


def _require_own(sources: Sources) -> None:
    """Raise KeeplineError for a flag that is the relay's to heed."""
    for setting in described():
        if setting.name in sources.flags and setting.name not in OWN:
            raise KeeplineError(
                f"{setting.flag} is for the relay, which is outside",
                f"give it there: keepline relay {setting.flag} ...",
            )


def hello(settings: Settings, command: Sequence[str]) -> messages.Hello:
    """Return what is asked for: rules, and the gateway if the command is an agent.

    Raises KeeplineError for more rules than a relay reads.
    """
    agent = agent_of(command, looker(os.environ))
    asked = (_asked(settings), *map(_asked_by_project, settings.projects))
    made = messages.Hello(
        version=__version__,
        program=command[0].encode(errors="replace").decode()[:_MOST_OF_NAME],
        agent=agent.name if agent is not None and not agent.obstacle else "",
        is_terminal=os.isatty(1),
        asked=tuple(each for each in asked if each != _NOTHING),
    )
    try:
        return messages.hello(messages.encoded(made))
    except ValueError as error:
        raise KeeplineError(
            f"the rules are more than a relay reads of a container: {error}",
            "give them to the relay: keepline relay --allow ... --deny ..., or its config.toml",
        ) from None


def _asked(settings: Settings) -> messages.Asked:
    """Return what flags, environment and config.toml forbid; mode open has no list."""
    allow = list(_hosts(settings.allow))
    for name in settings.presets:
        allow += [rule.text for rule in presets.load(name).allow]
    return messages.Asked(
        deny=_hosts(settings.deny),
        allow=tuple(allow) if settings.policy_mode != "open" else (),
        is_allowlist=settings.policy_mode == "allowlist",
        private="deny" if settings.strict else settings.private,
        is_unpublished=settings.published().mode == OFF or settings.strict,
    )


def _asked_by_project(project: Project) -> messages.Asked:
    return messages.Asked(
        deny=_hosts(project.deny),
        allow=_hosts(project.allow),
        is_allowlist=project.is_allowlist,
        private=project.private,
        is_unpublished=project.is_unpublished,
    )


def _hosts(rules: Sequence[str | Entry]) -> tuple[str, ...]:
    return tuple(each.host if isinstance(each, Entry) else each for each in rules)


def _shown(
    welcome: messages.Welcome, warn: Callable[[str], None], opened: ExitStack
) -> dict[str, str]:
    """Show the gateway's authority to programs; return the variable that names it."""
    if not welcome.authority:
        return {}
    bundle = sessions_folder(os.environ) / f"{welcome.session}-inside.pem"
    write_authority(welcome.authority, bundle, warn)
    opened.callback(bundle.unlink, missing_ok=True)
    return {choice.EXTRA: str(bundle)}


def _plan(
    settings: Settings,
    welcome: messages.Welcome,
    command: Sequence[str],
    environment: Mapping[str, str | None],
) -> Plan:
    """Return what the namespace is to look like: the relay's settings, and this side's files."""
    settings = msgspec.structs.replace(
        settings,
        dns_pool=welcome.dns_pool,
        intercept=welcome.intercept,
        ports=welcome.ports,
        patience=welcome.patience,
    )
    planned = session.plan(settings, command, welcome.resolv_conf, environment)
    # The rules are outside: no file here leads around them.
    loopback = welcome.loopback_port
    return replace(planned, loopback_port=loopback, may_stay=True, has_rules=False)


async def _run(
    link: Link, passing: Passing, settings: Settings, warn: Callable[[str], None], maker: int
) -> Ended:
    """Wait until the command has ended, and the relay has delivered what it sent last."""
    startup.end()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept_running, _record_nothing, "link to the relay", link.keep)
        ended = await waiting.command_end(passing, _record_nothing)
        if settings.linger:
            passing.sandbox.leave_orphans()
            await waiting.orphans_end(passing, _record_nothing, maker)
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiting.cancelled_by, passing, nursery.cancel_scope, _record_nothing)
        line = await link.finish(ended.status)
        nursery.cancel_scope.cancel()
    for each in (*link.notes, *([f"{line} (where the relay is)"] if line else [])):
        warn(each)
    return ended


def _record_nothing(_event: Event) -> None:
    """Leave the record to the relay."""
