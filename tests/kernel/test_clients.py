"""Programs that people use get the right answers inside, over TLS and by name, 200 at once too."""

import hashlib
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio

from relay.record.events import ConnectionClosed, ConnectionOpened
from tests.support.command import clients
from tests.support.command.keepline import Done, Keepline
from tests.support.command.programs import needs
from tests.support.internet.servers.http import Exchange, Request
from tests.support.internet.servers.listening import listen, over_tls, serve
from tests.support.internet.world import SERVER, Internet

NAME = "server.test"
URL = f"https://{NAME}"
MANY = 200
CLIENTS: Final = Path(clients.__file__).parent

Fetch = Callable[[int], Awaitable[tuple[Done, list[str]]]]


def page(number: int) -> str:
    """Return the answer that number NUMBER is to get."""
    return f"{number} {hashlib.sha256(str(number).encode()).hexdigest()}"


@dataclass
class Together:
    """A site that answers GET /NUMBER only once a number of connections wait for an answer."""

    count: int = 1
    waiting: int = 0
    all_wait: trio.Event = field(default_factory=trio.Event)

    async def __call__(self, stream: trio.abc.Stream) -> None:
        """Serve one connection."""
        exchange = Exchange(stream)
        while (request := await exchange.read_request()) is not None:
            self.waiting += 1
            if self.waiting == self.count:
                self.all_wait.set()
            await self.all_wait.wait()
            await exchange.send_text("200 OK", page(int(request.path.strip("/"))))
            if request.wants_close():
                return


@pytest.fixture
async def site(internet: Internet, nursery: trio.Nursery) -> Together:
    """Return the site, over TLS."""
    made = Together()
    await serve_tls(internet, nursery, made)
    return made


async def serve_tls(
    internet: Internet, nursery: trio.Nursery, handler: Callable[[trio.abc.Stream], Awaitable[None]]
) -> None:
    context = internet.authority.server_context(NAME)
    await nursery.start(serve, over_tls(handler, context), listen(internet.server, SERVER, 443))


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    """Return keepline, whose programs trust the internet's authority."""
    made = Keepline(internet)
    made.environment |= internet.authority.environment()
    return made


@pytest.mark.parametrize("count", [1, MANY])
@pytest.mark.parametrize(
    "argv",
    [["node", "fetch.mjs"], ["bun", "fetch.mjs"], [sys.executable, "fetch.py"]],
    ids=["node", "bun", "python"],
)
async def test_fetching_at_once(
    site: Together, keepline: Keepline, argv: list[str], count: int
) -> None:
    program, script = needs(argv[0]), str(CLIENTS / argv[1])
    site.count = count
    done = await keepline.run(program, script, URL, str(count))
    assert done.stdout.decode().splitlines() == [page(number) for number in range(count)]
    assert done.stderr == ""
    assert_all_relayed(done, count)


@pytest.mark.parametrize("count", [1, MANY])
async def test_curl_at_once(
    internet: Internet, site: Together, keepline: Keepline, count: int
) -> None:
    site.count = count
    at_once = ["--parallel", "--parallel-immediate", "--parallel-max", str(MANY)]
    done = await keepline.run(
        *(needs("curl"), "-sS", "--no-progress-meter", *at_once),
        *("-o", "#1", f"{URL}/[0-{count - 1}]"),
        cwd=internet.directory,
    )
    told = [(internet.directory / str(number)).read_text() for number in range(count)]
    assert told == [page(number) for number in range(count)]
    assert_all_relayed(done, count)


def assert_all_relayed(done: Done, count: int) -> None:
    opened = done.all(ConnectionOpened)
    assert [event.name for event in opened] == [NAME] * count
    assert len(done.all(ConnectionClosed)) == count


async def test_openssl_s_client_verifies_the_server(site: Together, keepline: Keepline) -> None:
    done = await keepline.run(
        *(needs("openssl"), "s_client", "-quiet", "-verify_return_error", "-ignore_unexpected_eof"),
        *("-servername", NAME, "-verify_hostname", NAME, "-connect", f"{NAME}:443"),
        stdin=b"GET /5 HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    assert done.stdout.decode().endswith(f"\r\n\r\n{page(5)}")
    assert "verify error" not in done.stderr


async def test_git_clones_over_https(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, tmp_path: Path
) -> None:
    origin = await make_repository(tmp_path / "origin")
    await serve_tls(internet, nursery, partial(serve_git, tmp_path))
    clone = tmp_path / "clone"
    done = await keepline.run(needs("git"), "clone", "-q", f"{URL}/origin", str(clone))
    assert done.stderr == ""
    assert await head(clone) == await head(origin)
    assert (clone / "large").read_bytes() == (origin / "large").read_bytes()
    await git(clone, "fsck", "--strict")


async def git(folder: Path, *arguments: str) -> bytes:
    """Run git in the test's own process's place, where there is no network."""
    who = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for role in ("AUTHOR", "COMMITTER"):
        who |= {f"GIT_{role}_NAME": "test", f"GIT_{role}_EMAIL": "test@server.test"}
    done = await trio.run_process(
        [needs("git"), "-C", str(folder), *arguments], capture_stdout=True, env=os.environ | who
    )
    return done.stdout


async def head(folder: Path) -> bytes:
    return await git(folder, "rev-parse", "HEAD")


async def make_repository(folder: Path) -> Path:
    """Make one whose pack is larger than what fits into any buffer on the way."""
    await trio.Path(folder).mkdir()
    await git(folder, "init", "-q")
    for number in range(5):
        (folder / f"file{number}").write_text(f"{number}\n")
        (folder / "large").write_bytes(os.urandom(3_000_000))
        await git(folder, "add", ".")
        await git(folder, "commit", "-q", "-m", f"number {number}")
    return folder


async def serve_git(root: Path, stream: trio.abc.Stream) -> None:
    """Serve one connection by git-http-backend(1), by CGI, RFC 3875."""
    exchange = Exchange(stream)
    while (request := await exchange.read_request()) is not None:
        body = b"".join([piece async for piece in exchange.read_body(request)])
        done = await trio.run_process(
            [needs("git"), "http-backend"],
            stdin=body,
            capture_stdout=True,
            env=os.environ | gateway_variables(root, request, len(body)),
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = head.decode().split("\r\n")
        status = next((f[8:] for f in fields if f.startswith("Status: ")), "200 OK")
        await exchange.send_head(status, *fields, f"Content-Length: {len(content)}")
        await exchange.send(content)


def gateway_variables(root: Path, request: Request, length: int) -> dict[str, str]:
    path, _, query = request.path.partition("?")
    return {
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROJECT_ROOT": str(root),
        "REQUEST_METHOD": request.method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(length),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
    }
