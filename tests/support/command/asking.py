"""A fake API in the small internet, and programs under keepline that ask it.

api = await serve_api(internet, nursery)            # https://server.test
done = await keepline.run(*ask("bun", "GET", f"{URL}/v1/models"), options=TLS)
(answer,) = answers(done)
assert (answer.status, answer.text) == (200, MODELS)
"""

import json
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from netns.syscalls import MS_BIND, mount
from relay.gateway.dialects.anthropic import DIALECT as ANTHROPIC
from relay.host.programs import SYSTEM
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.api import stream
from tests.support.internet.servers.api.log import Request
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.server import Api, context
from tests.support.internet.servers.listening import listen, over_tls, serve
from tests.support.internet.servers.tls import Authority
from tests.support.internet.world import SERVER, Internet

NAME: Final = "server.test"
URL: Final = f"https://{NAME}"
HOSTS: Final = f"--gateway-hosts={NAME}"
TLS: Final = ("--gateway=tls", HOSTS)
HTTP: Final = ("--gateway=http", HOSTS)

_SCRIPT: Final = Path(__file__).with_name("clients") / "ask.mjs"
_SEED: Final = 1
"""That of ask.mjs."""


@dataclass(frozen=True)
class Answer:
    """What a program got."""

    status: int = 0
    retry: str | None = None
    """What x-should-retry says."""
    text: str = ""
    error: str | None = None
    """Why there is no answer, or no whole one."""


def ask(program: str, *words: str) -> list[str]:
    """Return the command line that asks METHOD URL ... by `node` or `bun`."""
    return [needs(program), str(_SCRIPT), *words]


def answers(done: Done) -> list[Answer]:
    """Return what the program of ask() got."""
    return [Answer(**json.loads(line)) for line in done.stdout.splitlines()]


def said(version: int = 0) -> str:
    """Return the stream that a POST of ask() is answered by, at its first try or a further one."""
    return stream.body(message(_SEED, version)).decode()


async def serve_api(
    internet: Internet,
    nursery: trio.Nursery,
    *ports: int,
    authority: Authority | None = None,
    plain: tuple[int, ...] = (),
) -> Api:
    """Serve the API over TLS at these ports, at 443 without any; at those of `plain` without TLS.

    Its certificate is of the internet's own authority if no other is given.
    """
    api = Api()
    tls = over_tls(api, context(authority or internet.authority, NAME))
    for port in ports or (443,):
        await nursery.start(serve, tls, listen(internet.server, SERVER, port))
    for port in plain:
        await nursery.start(serve, api, listen(internet.server, SERVER, port))
    return api


def arrival(api: Api) -> trio.Event:
    """Return an event that tells when the next request has come; its answer is the usual one."""
    arrived = trio.Event()

    def note(_request: Request) -> None:
        arrived.set()

    api.respond = note
    return arrived


def other_authority(internet: Internet, name: str) -> Authority:
    """Make one that nobody knows yet."""
    folder = internet.directory / name
    folder.mkdir()
    return Authority(folder)


def script(folder: Path, name: str, *lines: str) -> Path:
    """Make a program of the shell."""
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def runs(*argv: str) -> str:
    """Return the line of a script that becomes another program, its own arguments put after."""
    return f'exec {shlex.join(argv)} "$@"'


def without_openssl(keepline: Keepline) -> None:
    """Take openssl from keepline's host."""
    with_openssl(keepline, "/dev/null")


def with_openssl(keepline: Keepline, program: str) -> None:
    """Show another program, one of the system's, in the place of openssl."""
    there = [path for folder in SYSTEM if (path := Path(folder, "openssl").resolve()).exists()]
    for path in set(there):
        keepline.host.call(partial(mount, program, str(path), flags=MS_BIND))


def keepline_of(internet: Internet, authority: Authority | None = None) -> Keepline:
    """Return keepline in an environment that tells of no certificates but an authority's."""
    made = Keepline(internet)
    named = (*internet.authority.environment(), "SSL_CERT_DIR", ANTHROPIC.base_url)
    made.environment = {name: text for name, text in made.environment.items() if name not in named}
    if authority is not None:
        made.environment |= authority.environment()
    return made


async def explained(keepline: Keepline) -> list[str]:
    """Return the lines of `keepline explain`."""
    return (await keepline.call("explain")).stdout.decode().splitlines()
