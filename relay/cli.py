"""The command line: arguments in, exit status out.

Each command of COMMANDS_BESIDE_RUN is a module of its own, which is imported where its word is the
first argument: a start of `run` has nothing of it.
"""

import argparse
import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from netns.errors import KeeplineError
from netns.hints import refused_call
from netns.process import inherited
from netns.sandbox import Ended, EndedEarlyError, Sandbox, SandboxError
from relay import __version__, config, doctor, flags, session
from relay.addresses import parse_pool
from relay.auto_ports.setup import written_down
from relay.command.beside import Beside
from relay.command.ending import as_ended
from relay.config import files as config_files
from relay.host.itself import host_itself
from relay.policy import presets, why
from relay.printing import fail, warn, write, write_lines
from relay.record import escaping, files, flightlog, selection, status, view
from relay.record.escaping import shown_json, shown_lines
from relay.record.story import learned, telling

COMMANDS_BESIDE_RUN: Final = {
    "proxy": ("relay.proxy.command", "a relay as a proxy, where no namespace may be made"),
    "docker": ("relay.engines.docker", "docker run, whose only way out is a session"),
    "podman": ("relay.engines.podman", "podman run, whose only way out is a session"),
    "relay": ("relay.remote.command", "the relay of containers without a network, outside"),
    "sidecar": ("relay.sidecar.command", "the relay of a pod, its rules, and whether it is ready"),
}
"""Modules by the first argument, with their help. Each has `main(arguments: Sequence[str]) -> int`,
which takes what follows that word and may raise KeeplineError and OSError, and its own parser."""


def main(
    arguments: Sequence[str] | None = None,
    sandbox: Sandbox | OSError | SandboxError | None = None,
    beside: Beside | None = None,
) -> int:
    """Run the tool; return the exit status. What is given has been started for `run`."""
    try:
        if isinstance(sandbox, OSError | SandboxError):
            raise sandbox  # noqa: TRY301 - what follows tells of it
        return _command(sys.argv[1:] if arguments is None else arguments, sandbox, beside)
    except KeeplineError as error:
        return fail(error.cause, error.next_step)
    except BrokenPipeError:
        return 0  # `keepline log | head`
    except OSError as error:
        return fail(*refused_call(error))
    except Exception:  # noqa: BLE001 - a defect has a status of its own, and a traceback
        traceback.print_exc()
        return fail("this is a defect of keepline", "please report it with what stands above")


def _command(words: Sequence[str], sandbox: Sandbox | None, beside: Beside | None) -> int:
    """Run the command that the words name; return the exit status."""
    if bare := _bare(words):
        return _start(config_files.gathered({}), bare, sandbox, beside)
    module, _help = COMMANDS_BESIDE_RUN.get(words[0], ("", "")) if words else ("", "")
    if module:
        status_of_it: int = importlib.import_module(module).main(words[1:])
        return status_of_it
    parsed = _parser(of_run=words[:1] == ["run"]).parse_args(words)
    parsed.sandbox, parsed.beside = sandbox, beside
    command: Callable[..., int] = parsed.run
    return command(parsed)


def _bare(words: Sequence[str]) -> Sequence[str]:
    """Return the command of a `run` that has no flag, for which no parser is made; else nothing.

    Most have none, and argparse takes 8 ms of a start.
    """
    if len(words) < 2 or words[0] != "run":
        return ()
    if words[1] == "--":
        return words[2:]
    return () if words[1].startswith("-") else words[1:]


def _parser(*, of_run: bool) -> "argparse.ArgumentParser":
    """Return the parser; that of `run` knows no other command, as those cost its start 1 ms."""
    parser = flags.Parser(prog="keepline", description="Keep a program's connections alive.")
    parser.add_argument("--version", action="version", version=f"keepline {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a program behind the relay", usage=_RUN_USAGE)
    run.set_defaults(run=_run)
    flags.add_settings(run)
    run.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    for name, function, text in () if of_run else _COMMANDS:
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=function)
        if name != "doctor":
            _add_session(command)
        if name == "status":
            command.add_argument("--sidecar", action="store_true", help=_SIDECAR_HELP)
        if name == "explain":
            command.add_argument("-v", "--verbose", action="store_true", help="with the evidence")
        else:
            command.add_argument("--json", action="store_true", help="for programs")
    if not of_run:
        for word, (_module, text) in COMMANDS_BESIDE_RUN.items():
            commands.add_parser(word, help=text, add_help=False)
        _add_policy(
            commands.add_parser("policy", help="which destinations may be reached, and why")
        )
    return parser


def _add_policy(parser: "argparse.ArgumentParser") -> None:
    """Add the commands about policy; `why` takes the settings that `run` takes."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listed = commands.add_parser("presets", help="all presets and their rules")
    listed.set_defaults(run=_presets)
    why = commands.add_parser("why", help="whether a destination may be reached, by which rule")
    why.set_defaults(run=_why)
    flags.add_settings(why)
    why.add_argument("destination", metavar="HOST[:PORT]", help="without a port: 443")
    learn = commands.add_parser("learn", help="the list that a session would have needed, as TOML")
    learn.set_defaults(run=_learn)
    _add_session(learn)


def _add_session(parser: "argparse.ArgumentParser") -> None:
    parser.add_argument("session", nargs="?", help=_SESSION_HELP)
    parser.add_argument("--state", metavar="DIR", help=_STATE_HELP)


_SESSION_HELP = "its name or how that begins, or latest; without it, that of $KEEPLINE_SESSION"
_OF_IDS: Final = frozenset({"user namespace", "id map"})
"""Steps of a namespace that are done before anything of the network's."""

_WITHOUT: Final = (
    "   or: keepline run --intercept=proxy, which needs no namespace; programs that ignore proxies"
    " go past it"
)
_STATE_HELP = "the volume of a pod's relay, as keepline sidecar relay --state has it"
_SIDECAR_HELP = "of the relay of this pod, and whether it is ready; status 1 if not"
_RUN_USAGE = "keepline run [options] -- COMMAND [ARG ...]"


def _run(arguments: "argparse.Namespace") -> int:
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        return fail("there is no command to run", _RUN_USAGE)
    return _start(flags.sources(arguments), command, arguments.sandbox, arguments.beside)


def _start(
    sources: config.Sources, command: Sequence[str], sandbox: Sandbox | None, beside: Beside | None
) -> int:
    """Run a command, in what has been started for it; return the exit status."""
    if sandbox is None and sources.settings().intercept == "proxy":
        return as_ended(_without_namespace()(sources, command, warn))
    sandbox, beside = sandbox or Sandbox(inherited.take()), beside or Beside.fork()
    try:
        run = _relayed_outside() if sources.relay else session.run
        ended = run(sandbox, sources, command, warn, beside)
    except EndedEarlyError as early:
        ended = early.ended
    except SandboxError as error:
        is_begun = {step.name for step in sandbox.steps if step.error is None} - _OF_IDS
        if is_begun or sources.relay:
            raise
        raise SandboxError(error.cause, f"{error.next_step}\n{_WITHOUT}") from error
    finally:
        beside.end()
    return as_ended(ended)


def _without_namespace() -> Callable[..., Ended]:
    """Return what runs a command that is told of a proxy; few are."""
    from relay.proxy import running  # noqa: PLC0415 - 1 ms, and few need it

    return running.run


def _relayed_outside() -> Callable[..., Ended]:
    """Return what runs a command in a sealed container; few are."""
    from relay.remote import inside  # noqa: PLC0415 - 1 ms, and few need it

    return inside.run


def _doctor(arguments: "argparse.Namespace") -> int:
    try:
        settings: config.Settings | config.ConfigError = flags.settings(arguments)
    except config.ConfigError as error:
        settings = error
    tried = []
    for check in doctor.examine(settings):
        tried.append(check)
        if not arguments.json:
            write(f"{shown_lines(doctor.rendered(check))}\n")
    if arguments.json:
        write(f"{shown_json(doctor.as_json(tried))}\n")
    return 0 if all(check.works or not check.needed for check in tried) else 1


def _log(arguments: "argparse.Namespace") -> int:
    path = _session(arguments)
    if arguments.json:
        write("".join(f"{line}\n" for line in files.lines(path, escaping.as_json)))
        return 0
    write_lines(view.log_lines(flightlog.read(path)))
    return 0


def _explain(arguments: "argparse.Namespace") -> int:
    path = _session(arguments)
    is_live = files.is_live(path)  # first: one that ends meanwhile has its end in the log
    write_lines(telling.lines(flightlog.read(path), verbose=arguments.verbose, is_live=is_live))
    return 0


def _presets(_arguments: "argparse.Namespace") -> int:
    write_lines(presets.lines())
    return 0


def _why(arguments: "argparse.Namespace") -> int:
    """Return 1 if it is denied."""
    sources = flags.sources(arguments)
    settings = sources.settings()
    itself = host_itself(parse_pool(settings.dns_pool))
    ports = written_down(settings, [], are_wanted=settings.opens_ports_itself())
    policy, destination = settings.policy(), why.parsed(arguments.destination)
    is_denied, told = why.told(policy, destination, sources.path, itself, ports)
    write_lines(told)
    return 1 if is_denied else 0


def _learn(arguments: "argparse.Namespace") -> int:
    path = _session(arguments)
    write_lines(learned.lines(path.stem, flightlog.read(path)))
    return 0


def _session(arguments: "argparse.Namespace") -> Path:
    """Find a session's file; raises SelectionError."""
    folder = _folder(arguments)
    known = [path.stem for path in files.sessions(folder)]
    own = None if arguments.state else os.environ.get(config.SESSION_VARIABLE)
    return folder / f"{selection.select(known, arguments.session, own, str(folder))}.jsonl"


def _folder(arguments: "argparse.Namespace") -> Path:
    """Return the folder of the sessions that are meant."""
    named = arguments.state
    return files.sessions_on(named) if named else files.sessions_folder(os.environ)


def _status(arguments: "argparse.Namespace") -> int:
    is_ready, told = True, ""
    if arguments.sidecar:
        is_ready, told = importlib.import_module("relay.sidecar.ready").asked()
    has_own = config.SESSION_VARIABLE in os.environ and not (arguments.sidecar or arguments.state)
    if arguments.session is not None or has_own:
        paths = [_session(arguments)]
    else:
        paths = files.sessions(_folder(arguments))
    states = []
    for path in filter(files.is_live, paths):
        with contextlib.suppress(OSError):  # it is somebody else's, or was removed just now
            state = status.state_of(path.stem, flightlog.read(path))
            if state.pid or state.connections:  # else it is about to start
                states.append(state)
    if arguments.json:
        write(f"{shown_json(status.as_json(states))}\n")
    else:
        write_lines([told] if told else [])
        write_lines(status.lines(states))
    return 0 if is_ready else 1


_COMMANDS: Final = (
    ("doctor", _doctor, "what this machine allows, each with its fix"),
    ("status", _status, "live sessions and their connections"),
    ("log", _log, "what happened in a session, event by event"),
    ("explain", _explain, "the same as a story: each loss in a line"),
)


if __name__ == "__main__":
    sys.exit(main())
