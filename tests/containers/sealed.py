"""Sealed containers: without a network, and a relay outside of them, of the engine's own user."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .engines import HELLO, Engine
from .place import FOLDER, PROGRAM
from .rows import KEEPLINE

_SERVER: Final = "10.77.0.1"
"""Of the place itself, which is the relay's host."""
_URL: Final = f"http://{_SERVER}:8070/"
_PORT: Final = 8077
_INSIDE: Final = "/run/keepline"
_ASK: Final = f"curl -sS -m 20 {_URL}"
_RUN: Final = f"{KEEPLINE} run --relay {_INSIDE}/relay.sock --"
_REFUSED: Final = 7
"""curl's status where there is no way."""
_SECONDS: Final = 20
_BOUNDING: Final = (
    'python3 -c \'import re; bits = int(re.search(r"CapBnd:.(\\w+)",'
    ' open("/proc/self/status").read())[1], 16); print(bits & (1 << 12 | 1 << 13 | 1 << 21))\''
)
_SERVE: Final = (
    'python3 -c \'import socket; s = socket.create_server(("0.0.0.0", 80)); c = s.accept()[0];'
    f' c.recv(999); c.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n{HELLO}"); c.close()\''
)


@dataclass(frozen=True)
class Sealed:
    """An engine, and a relay of its user's."""

    engine: Engine
    folder: Path
    relay: "subprocess.Popen[bytes]"

    def run(self, script: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run a script in a container without a network, in which the relay's socket is."""
        given = ["--network=none", f"--volume={self.folder}:{_INSIDE}", *options]
        given += ["--cap-add=NET_ADMIN"] if self.engine.name == "docker" else []
        return self.engine.call(*self.engine.container(given, script, how=["--rm"]))

    def of_host(self, script: str, *options: str) -> list[str]:
        """Return the command line of `keepline podman run` or `keepline docker run`."""
        program = "docker" if self.engine.name == "docker" else "podman"
        run = self.engine.container(options, script, how=["--rm"])
        return [*self.engine.prefix, *_KEEPLINE_OF_HOST, program, *run]


_KEEPLINE_OF_HOST: Final = (
    f"{PROGRAM}/bin/python",
    "-I",
    f"{PROGRAM}/lib/python3.11/site-packages/relay/__main__.py",
)


def _is_alone(sealed: Sealed) -> bool:
    return sealed.run(_ASK).returncode == _REFUSED


def _reaches(sealed: Sealed) -> bool:
    return sealed.run(f"{_RUN} {_ASK}").stdout.strip() == HELLO


def _drops(sealed: Sealed) -> bool:
    return sealed.run(f"{_RUN} {_BOUNDING}").stdout.strip() == "0"


def _joins(sealed: Sealed) -> bool:
    """Have keepline run the engine; Docker's container needs keepline inside."""
    inside = f"{KEEPLINE} run -- " if sealed.engine.name == "docker" else ""
    done = subprocess.run(
        sealed.of_host(f"{inside}{_ASK}"),
        env=_environment(sealed.engine),
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    return done.stdout.strip() == HELLO


def _publishes(sealed: Sealed) -> bool:
    inside = f"{KEEPLINE} run -- " if sealed.engine.name == "docker" else ""
    argv = sealed.of_host(f"{inside}{_SERVE}", "-p", f"{_PORT}:80")
    with subprocess.Popen(argv, env=_environment(sealed.engine), cwd="/") as running:
        asked = ["curl", "-sS", "--retry", "100", "--retry-delay", "1", "--retry-all-errors"]
        asked += ["--retry-max-time", str(_SECONDS), f"http://127.0.0.1:{_PORT}/"]
        answered = subprocess.run(asked, capture_output=True, text=True, check=False)
        if answered.stdout.strip() != HELLO:
            running.terminate()
    return answered.stdout.strip() == HELLO


def _fails_closed(sealed: Sealed) -> bool:
    sealed.relay.terminate()
    done = sealed.run(f"{_RUN} {_ASK}")
    return sealed.relay.wait() == 0 and done.returncode == 125 and "no relay at" in done.stderr


STEPS: Final[Mapping[str, Callable[[Sealed], bool]]] = {
    "without keepline nothing is reached": _is_alone,
    "`keepline run --relay` reaches a server (Docker: `--cap-add NET_ADMIN`)": _reaches,
    "its command has no capability over the network": _drops,
    "`keepline podman run`, `keepline docker run`: the same": _joins,
    "and with `-p`: a server inside is reached on the host": _publishes,
    "SIGTERM: the relay ends with status 0, and nothing runs inside any more": _fails_closed,
}
"""What is tried, in this order, each as it is told."""


def play(engine: Engine) -> Iterator[tuple[str, str]]:
    """Yield what is tried with an engine, and how it came out: "yes", or "WRONG"."""
    with _served(), _relayed(engine) as sealed:
        for text, step in STEPS.items():
            yield text, "yes" if step(sealed) else "WRONG"


@contextlib.contextmanager
def _served() -> Iterator[None]:
    """Serve a page in the place."""
    folder = FOLDER / "served"
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text(f"{HELLO}\n")
    for words in (
        ("link", "add", "served", "type", "veth", "peer", "name", "other"),
        ("address", "add", f"{_SERVER}/32", "dev", "served"),
        ("link", "set", "served", "up"),
    ):
        subprocess.run(["ip", *words], check=True)
    server = ["python3", "-m", "http.server", "--bind", _SERVER, "--directory", str(folder), "8070"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(server, stdout=quiet, stderr=quiet) as process:
        try:
            yield
        finally:
            process.kill()
            subprocess.run(["ip", "link", "del", "served"], check=True)


@contextlib.contextmanager
def _relayed(engine: Engine) -> Iterator[Sealed]:
    """Start a relay as the engine's user."""
    folder = Path(engine.environment["HOME"] if engine.prefix else FOLDER, f"relay-{engine.name}")
    subprocess.run([*engine.prefix, "mkdir", "-m", "700", str(folder)], check=True)
    argv = [*engine.prefix, *_KEEPLINE_OF_HOST, "relay", f"--socket={folder}/relay.sock"]
    with subprocess.Popen(argv, env=_environment(engine), cwd="/") as relay:
        until = time.monotonic() + _SECONDS
        while not (folder / "relay.sock").is_socket() and time.monotonic() < until:
            time.sleep(0.05)
        try:
            yield Sealed(engine, folder, relay)
        finally:
            relay.kill()


def _environment(engine: Engine) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(FOLDER), **engine.environment}
