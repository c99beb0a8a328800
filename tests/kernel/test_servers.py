"""Servers that people develop with run inside, without a flag, and are used from the host.

What uses them there is what people use: a browser, headless Chromium, and Jupyter's own client.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from relay.record.events import Published
from tests.support.command import clients
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs, needs_server
from tests.support.internet.servers.http import Exchange
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.world import Internet
from tests.support.pace import patience

NOTEBOOK: Final = Path(clients.__file__).with_name("notebook.py")
_TOKEN: Final = "a-token"

SEEN_PORT: Final = 9300
"""At which pages tell what they show."""

_PAGE: Final = """<!doctype html><script type="module" src="/main.js"></script>"""
_MAIN: Final = """
import { text } from './text.js'
const tell = (text) => fetch(`http://127.0.0.1:9300/${text}`, { mode: 'no-cors' })
const loaded = Number(sessionStorage.loaded ?? 0) + 1
sessionStorage.loaded = loaded
tell(`${text}-${loaded}`)
if (import.meta.hot) import.meta.hot.accept('./text.js', (made) => tell(`${made.text}-${loaded}`))
"""


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


class Pages:
    """What pages of a browser on the host have told."""

    def __init__(self) -> None:
        self.send, self.told = trio.open_memory_channel[str](100)

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Take what each request's path says."""
        exchange = Exchange(stream)
        while (request := await exchange.read_request()) is not None:
            await self.send.send(request.path.removeprefix("/"))
            await exchange.send_text("200 OK", "")


@asynccontextmanager
async def browser(keepline: Keepline, url: str) -> AsyncIterator[None]:
    """Have Chromium show a page on the host."""
    folder = keepline.folder / "chromium"
    folder.mkdir()
    words = [needs("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    words += ["--disable-background-networking", "--disable-dev-shm-usage"]
    words += [f"--user-data-dir={folder}", url]
    env = keepline.environment | {"HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = keepline.host.popen(words, env=env, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        await trio.to_thread.run_sync(process.wait)


async def changed(file: Path, pages: Pages) -> str:
    """Change a file until a page tells of it: who does not watch or listen yet misses a change."""
    while True:
        await trio.Path(file).write_text("export const text = 'after'\n")
        with trio.move_on_after(1):
            return await pages.told.receive()


async def test_a_browser_sees_a_page_change_without_loading_it_again(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline
) -> None:
    """vite watches the files, and tells the page by a WebSocket."""
    work, pages = keepline.folder / "work", Pages()
    work.mkdir()
    for name, content in (("index.html", _PAGE), ("main.js", _MAIN), ("text.js", "")):
        (work / name).write_text(content)
    (work / "text.js").write_text("export const text = 'before'\n")
    await nursery.start(serve, pages.serve, listen(internet.client, "127.0.0.1", SEEN_PORT))
    command = [needs("vite"), "--port", "9301", "--strictPort"]
    async with keepline.start(*command, cwd=work) as session:
        await session.until(Published, lambda event: event.port == 9301)
        async with browser(keepline, "http://localhost:9301/"):
            with trio.fail_after(patience(30)):
                assert await pages.told.receive() == "before-1"
                assert await changed(work / "text.js", pages) == "after-1"
        session.process.terminate()
        await session.end()


async def test_python_serves_files(internet: Internet, keepline: Keepline) -> None:
    (keepline.folder / "file").write_text("of the session")
    command = [sys.executable, "-u", "-m", "http.server", "9302"]
    async with keepline.start(*command, cwd=keepline.folder) as session:
        await session.until(Published, lambda event: event.port == 9302)
        url = "http://localhost:9302/file"
        done = await internet.client.run_process([needs("curl"), "-sSf", url])
        assert done.stdout == b"of the session"
        session.process.terminate()
        await session.end()


async def test_a_notebook_runs_a_cell(internet: Internet, keepline: Keepline) -> None:
    """Its requests and its WebSocket come from the host; the server and its kernel are inside."""
    home = keepline.folder / "home"
    home.mkdir()
    env = {"HOME": str(home), "IPYTHONDIR": str(home), "JUPYTER_PLATFORM_DIRS": "1"}
    words = ["-m", "jupyter_server", "--no-browser", "--port=9303", "--ServerApp.port_retries=0"]
    words += [f"--IdentityProvider.token={_TOKEN}", f"--ServerApp.root_dir={home}"]
    if os.geteuid() == 0:
        words.append("--allow-root")
    code = "import os; print(6 * 7, os.environ['KEEPLINE_SESSION'][:2])"
    async with keepline.start(needs_server("python"), *words, env=env, cwd=home) as session:
        await session.until(Published, lambda event: event.port == 9303)
        cell = [needs_server("python"), "-I", str(NOTEBOOK), "http://localhost:9303", _TOKEN, code]
        done = await internet.client.run_process(cell)
        assert done.stdout == b"42 20\n"
        session.process.terminate()
        await session.end()
