"""Programs beside the agent that ask the API's host, and do not know the session's authority."""

import shlex
from typing import Final

from tests.same.networks.gateway_clients import NAME, answers
from tests.same.programs import curl, requests, shell
from tests.same.row import Differs, Program, Row

_URL: Final = f"https://{NAME}/v1/models"
_OPTIONS: Final = ("--gateway=tls", f"--gateway-hosts={NAME}")
_ONE_ERROR: Final = Differs(
    "worse", "what a program believes shows by its error alone; from then on it goes past"
)


def _thrice(program: Program) -> Program:
    """Run it three times, and say how it ended."""
    once = f"{shlex.join(program.argv)} >/dev/null 2>&1"
    script = f"for each in 1 2 3; do {once} && echo said: ok $each || echo said: error $each; done"
    return shell(f"three times {program.title}", script, r"^said: (.*)$", start=2.0)


ROWS: Final = [
    Row(
        situation="an API whose gateway the program does not believe",
        network=answers,
        program=_thrice(program),
        options=_OPTIONS,
        differs=_ONE_ERROR,
    )
    for program in (curl("", _URL), requests(_URL))
]
