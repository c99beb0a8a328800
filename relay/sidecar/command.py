"""`keepline sidecar WORD`: each word is a module of its own, imported where it is asked for."""

import importlib
from collections.abc import Sequence
from typing import Final

from netns.errors import EXIT_OWN_FAILURE
from relay.flags import Parser

WORDS: Final[dict[str, tuple[str, str]]] = {
    "rules": ("relay.sidecar.rules", "lead the pod's connections to its relay; needs NET_ADMIN"),
    "relay": ("relay.sidecar.relay", "relay for all containers of the pod, until SIGTERM"),
    "ready": ("relay.sidecar.ready", "whether the relay is ready: a probe"),
}
"""Modules by their word, each with its help. A module has `main(arguments: Sequence[str]) -> int`,
which takes what follows the word and may raise KeeplineError and OSError, and a parser of its own.
"""


def main(arguments: Sequence[str]) -> int:
    """Run what the first argument names; return the exit status."""
    module, _text = WORDS.get(arguments[0], ("", "")) if arguments else ("", "")
    if module:
        status: int = importlib.import_module(module).main(arguments[1:])
        return status
    parser = Parser(prog="keepline sidecar", description="The relay of a pod.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for word, (_module, text) in WORDS.items():
        commands.add_parser(word, help=text, add_help=False)
    parser.parse_args(arguments)  # help, or a mistake
    return EXIT_OWN_FAILURE
