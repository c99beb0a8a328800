"""The command line: arguments in, exit status out; the only place that prints."""

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from netns.errors import KeeplineError
from netns.hints import refused_call
from netns.sandbox import EndedEarlyError, Sandbox, SandboxError
from relay import __version__, config, doctor, session
from relay.addresses import parse_pool
from relay.auto_ports.setup import written_down
from relay.command.beside import Beside
from relay.command.ending import as_ended
from relay.config import files as config_files
from relay.host.itself import host_itself
from relay.policy import presets, why
from relay.record import escaping, files, flightlog, selection, status, view
from relay.record.escaping import shown, shown_json, shown_lines
from relay.record.story import learned, telling

EXIT_OWN_FAILURE: Final = 125


class _Parser(argparse.ArgumentParser):
    """Bad usage is our own failure, not the command's: 125, as env(1) has it."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the mistake."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_OWN_FAILURE, f"{self.prog}: {message}\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End after a help, a version or a mistake; what is printed is written first."""
        _write("")
        super().exit(status, message)


def main(
    arguments: Sequence[str] | None = None,
    sandbox: Sandbox | OSError | SandboxError | None = None,
    beside: Beside | None = None,
) -> int:
    """Run the tool; return the exit status. What is given has been started for `run`."""
    try:
        if isinstance(sandbox, OSError | SandboxError):
            raise sandbox  # noqa: TRY301 - what follows tells of it
        parsed = _parser().parse_args(arguments)
        parsed.sandbox, parsed.beside = sandbox, beside
        command: Callable[[argparse.Namespace], int] = parsed.run
        return command(parsed)
    except KeeplineError as error:
        return _fail(error.cause, error.next_step)
    except BrokenPipeError:
        return 0  # `keepline log | head`
    except OSError as error:
        return _fail(*refused_call(error))
    except Exception:  # noqa: BLE001 - a defect has a status of its own, and a traceback
        traceback.print_exc()
        return _fail("this is a defect of keepline", "please report it with what stands above")


def _fail(cause: str, hint: str) -> int:
    _write_error(f"{shown(cause)}\n  try: {shown_lines(hint)}")
    return EXIT_OWN_FAILURE


def _warn(message: str) -> None:
    """Say something in a line, of what a program may have named."""
    _write_error(shown(message))


def _write_error(message: str) -> None:
    if sys.stderr is None:  # the caller has closed it
        return
    try:
        sys.stderr.write(f"keepline: {message}\n")
    except OSError:  # nobody reads it
        _silence(sys.stderr)


def _print(lines: Iterable[str]) -> None:
    """Print lines, of what a file may hold."""
    for line in lines:
        _write(f"{shown(line)}\n")


def _write(text: str) -> None:
    """Write at once, while a failure can be handled; raises KeeplineError, or BrokenPipeError."""
    if sys.stdout is None:  # the caller has closed it
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        raise
    except OSError as error:
        _silence(sys.stdout)
        raise KeeplineError(
            f"cannot write what was asked for: {error.strerror}", "send it elsewhere, or make room"
        ) from error


def _silence(stream: TextIO) -> None:
    """Let what is still buffered go nowhere: it must not change the status at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="keepline", description="Keep a program's connections alive.")
    parser.add_argument("--version", action="version", version=f"keepline {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a program behind the relay", usage=_RUN_USAGE)
    run.set_defaults(run=_run)
    _add_settings(run)
    run.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    for name, function, text in _COMMANDS:
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=function)
        if name != "doctor":
            command.add_argument("session", nargs="?", help=_SESSION_HELP)
        if name == "explain":
            command.add_argument("-v", "--verbose", action="store_true", help="with the evidence")
        else:
            command.add_argument("--json", action="store_true", help="for programs")
    _add_policy(commands.add_parser("policy", help="which destinations may be reached, and why"))
    return parser


def _add_policy(parser: argparse.ArgumentParser) -> None:
    """Add the commands about policy; `why` takes the settings that `run` takes."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listed = commands.add_parser("presets", help="all presets and their rules")
    listed.set_defaults(run=_presets)
    why = commands.add_parser("why", help="whether a destination may be reached, by which rule")
    why.set_defaults(run=_why)
    _add_settings(why)
    why.add_argument("destination", metavar="HOST[:PORT]", help="without a port: 443")
    learn = commands.add_parser("learn", help="the list that a session would have needed, as TOML")
    learn.set_defaults(run=_learn)
    learn.add_argument("session", nargs="?", help=_SESSION_HELP)


_SESSION_HELP = "its name or how that begins, or latest; without it, that of $KEEPLINE_SESSION"
_RUN_USAGE = "keepline run [options] -- COMMAND [ARG ...]"


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each setting; types, bounds and help are those of config.Settings."""
    for setting in config.described():
        text = f"{setting.description} ({setting.shown_default})"
        how: dict[str, Any] = {"dest": setting.name, "help": text}
        if setting.kind is bool:
            how |= {"action": "store_const", "const": "false" if setting.default else "true"}
        elif setting.kind is tuple:
            how |= {"action": "append", "metavar": "X,..."}
        else:
            metavar = "N" if setting.kind is int else None
            how |= {"metavar": metavar, "choices": setting.choices or None}
        parser.add_argument(setting.flag, **how)


def _run(arguments: argparse.Namespace) -> int:
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        return _fail("there is no command to run", _RUN_USAGE)
    sandbox, beside = arguments.sandbox or Sandbox(), arguments.beside or Beside.fork()
    try:
        ended = session.run(sandbox, _sources(arguments), command, _warn, beside)
    except EndedEarlyError as early:
        ended = early.ended
    finally:
        beside.end()
    return as_ended(ended)


def _settings(arguments: argparse.Namespace) -> config.Settings:
    """Return what flags, environment and files say together."""
    return _sources(arguments).settings()


def _sources(arguments: argparse.Namespace) -> config.Sources:
    """Read config file, environment and flags, and the files of the project."""
    words = {
        setting.name: ",".join(given) if isinstance(given, list) else given
        for setting in config.described()
        if (given := getattr(arguments, setting.name, None)) is not None
    }
    flags = {setting.name: f"{setting.flag}: " for setting in config.described()}
    path = config_files.config_path(os.environ, files.home())
    return config.Sources(
        flags=config.from_words(words, flags.__getitem__),
        environment=config.from_environment(os.environ),
        file=config.from_toml(config_files.read(path), str(path)),
        path=str(path),
        projects=tuple(config_files.projects()),
    )


def _doctor(arguments: argparse.Namespace) -> int:
    try:
        settings: config.Settings | config.ConfigError = _settings(arguments)
    except config.ConfigError as error:
        settings = error
    checks = []
    for check in doctor.examine(settings):
        checks.append(check)
        if not arguments.json:
            _write(f"{shown_lines(doctor.rendered(check))}\n")
    if arguments.json:
        _write(f"{shown_json(doctor.as_json(checks))}\n")
    return 0 if all(check.works or not check.needed for check in checks) else 1


def _log(arguments: argparse.Namespace) -> int:
    path = _session(arguments.session)
    if arguments.json:
        _write("".join(f"{line}\n" for line in files.lines(path, escaping.as_json)))
        return 0
    _print(view.log_lines(flightlog.read(path)))
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    path = _session(arguments.session)
    is_live = files.is_live(path)  # first: one that ends meanwhile has its end in the log
    _print(telling.lines(flightlog.read(path), verbose=arguments.verbose, is_live=is_live))
    return 0


def _presets(_arguments: argparse.Namespace) -> int:
    _print(presets.lines())
    return 0


def _why(arguments: argparse.Namespace) -> int:
    """Return 1 if it is denied."""
    sources = _sources(arguments)
    settings = sources.settings()
    itself = host_itself(parse_pool(settings.dns_pool))
    ports = written_down(settings, [], are_wanted=settings.opens_ports_itself())
    policy, destination = settings.policy(), why.parsed(arguments.destination)
    is_denied, told = why.told(policy, destination, sources.path, itself, ports)
    _print(told)
    return 1 if is_denied else 0


def _learn(arguments: argparse.Namespace) -> int:
    path = _session(arguments.session)
    _print(learned.lines(path.stem, flightlog.read(path)))
    return 0


def _session(name: str | None) -> Path:
    """Find a session's file; raises SelectionError."""
    folder = files.sessions_folder(os.environ)
    known = [path.stem for path in files.sessions(folder)]
    own = os.environ.get(config.SESSION_VARIABLE)
    return folder / f"{selection.select(known, name, own, str(folder))}.jsonl"


def _status(arguments: argparse.Namespace) -> int:
    if arguments.session is not None or config.SESSION_VARIABLE in os.environ:
        paths = [_session(arguments.session)]
    else:
        paths = files.sessions(files.sessions_folder(os.environ))
    states = []
    for path in filter(files.is_live, paths):
        with contextlib.suppress(OSError):  # it is somebody else's, or was removed just now
            state = status.state_of(path.stem, flightlog.read(path))
            if state.pid or state.connections:  # else it is about to start
                states.append(state)
    if arguments.json:
        _write(f"{shown_json(status.as_json(states))}\n")
    else:
        _print(status.lines(states))
    return 0


_COMMANDS: Final = (
    ("doctor", _doctor, "what this machine allows, each with its fix"),
    ("status", _status, "live sessions and their connections"),
    ("log", _log, "what happened in a session, event by event"),
    ("explain", _explain, "the same as a story: each loss in a line"),
)


if __name__ == "__main__":
    sys.exit(main())
