"""Containers without a network: `keepline run --relay` in them, and what wraps it from outside."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .engines import HELLO, Engine, Name
from .place import FOLDER, PROGRAM
from .rows import KEEPLINE, WHOLE

_SERVER: Final = "10.77.0.1"
"""Of the place itself: what a rootless engine's own network has is not reached from there."""
_PUBLISHED: Final = 8077
_INSIDE: Final = "/run/keepline"
_SECONDS: Final = 60
_OWN: Final = (
    str(PROGRAM / "bin/python"),
    *("-I", str(PROGRAM / "lib/python3.11/site-packages/relay/__main__.py")),
)
"""keepline outside of any container."""

Asked = Callable[[Engine, str], "subprocess.CompletedProcess[str]"]
"""Asks the server at an address, in a container of an engine."""


def _in_it(*options: str) -> Asked:
    """Return what asks in a container that has a relay's socket and no network."""

    def asked(engine: Engine, address: str) -> "subprocess.CompletedProcess[str]":
        script = f"{KEEPLINE} run --relay {_INSIDE}/relay.sock -- curl -sS -m 20 http://{address}/"
        sealed = ["--network", "none", "--volume", f"{_sockets(engine)}:{_INSIDE}", *options]
        with _relay(engine):
            return engine.call(*engine.container(sealed, script, how=["--rm"]))

    return asked


def _wrapped(*settings: str) -> Asked:
    """Return what has keepline start the container itself."""

    def asked(engine: Engine, address: str) -> "subprocess.CompletedProcess[str]":
        script = f"getent ahostsv4 $(uname -n) >&2 && exec curl -sS -m 20 http://{address}/"
        return _outside(engine, *settings, *_run(engine, script))

    return asked


def _run(engine: Engine, script: str, *options: str) -> list[str]:
    """Return the arguments that run a script; Docker's containers have keepline in them."""
    inside = [KEEPLINE, "run", "--"] if engine.name == "docker" else []
    run = ["run", "--rm", *options, *engine.options, *engine.image]
    return [*run, *inside, "sh", "-c", script]


def _published(engine: Engine, _address: str) -> "subprocess.CompletedProcess[str]":
    """Ask a server in the container, from outside of it."""
    ports = ("-p", f"{_PUBLISHED}:80")
    argv = [*engine.prefix, *_OWN, _program(engine), *_run(engine, _SERVE_ONCE, *ports)]
    ask = ["curl", "-sS", "--retry", "100", "--retry-delay", "1", "--retry-all-errors"]
    ask += ["--retry-max-time", str(_SECONDS), f"http://127.0.0.1:{_PUBLISHED}/"]
    with subprocess.Popen(argv, env=_environment(engine), cwd="/") as running:
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        if done.returncode:
            running.terminate()
    return done


_ANSWER: Final = f"HTTP/1.0 200 OK\\r\\n\\r\\n{HELLO}"
_SERVE_ONCE: Final = (
    'exec python3 -c \'import socket; server = socket.create_server(("0.0.0.0", 80));'
    f' taken = server.accept()[0]; taken.recv(999); taken.sendall(b"{_ANSWER}"); taken.close()\''
)


def _program(engine: Engine) -> str:
    return "docker" if engine.name == "docker" else "podman"


def _outside(engine: Engine, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*engine.prefix, *_OWN, _program(engine), *arguments],
        env=_environment(engine),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def _environment(engine: Engine) -> dict[str, str]:
    if engine.prefix:
        return dict(engine.environment)
    return {**engine.environment, "XDG_STATE_HOME": str(FOLDER / "outside")}


def _sockets(engine: Engine) -> Path:
    """Return the folder of a relay's socket, which is the engine's user's own."""
    return Path(engine.environment["HOME"] if engine.prefix else FOLDER, "sockets")


@contextmanager
def _relay(engine: Engine) -> Iterator[None]:
    """Have a relay serve what connects to its socket."""
    folder = _sockets(engine)
    subprocess.run([*engine.prefix, "mkdir", "-p", "-m", "700", str(folder)], check=True)
    path = folder / "relay.sock"
    argv = [*engine.prefix, *_OWN, "relay", "--socket", str(path)]
    with subprocess.Popen(argv, env=_environment(engine), cwd="/") as relay:
        until = time.monotonic() + _SECONDS
        while not path.is_socket() and relay.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        yield
        relay.terminate()


def _denied(engine: Engine, address: str) -> "subprocess.CompletedProcess[str]":
    """Ask where a rule of outside denies it; turn the outcome round."""
    done = _wrapped("--deny", address)(engine, address)
    is_denied = done.returncode == _CANNOT_CONNECT and not done.stdout
    stdout = HELLO if is_denied else done.stdout
    return subprocess.CompletedProcess(done.args, 0 if is_denied else 1, stdout, done.stderr)


_CANNOT_CONNECT: Final = 7
"""curl's status."""

_ROOTLESS: Final = "podman, rootless"

CASES: Final[Mapping[str, tuple[Name, Asked]]] = {
    "podman: `keepline run --relay`": ("podman", _in_it()),
    "podman: `keepline podman run`, nothing of keepline inside": ("podman", _wrapped()),
    "podman: `keepline podman --deny ADDRESS run`: denied": ("podman", _denied),
    "podman: `keepline podman run -p`: a server inside is reached": ("podman", _published),
    f"{_ROOTLESS}: `keepline run --relay`": ("rootless", _in_it()),
    f"{_ROOTLESS}: `keepline podman run`": ("rootless", _wrapped()),
    f"{_ROOTLESS}: `keepline podman run -p`: a server inside is reached": ("rootless", _published),
    "Docker, its default profile, `--cap-add NET_ADMIN`: `keepline run --relay`": (
        "docker",
        _in_it("--cap-add", "NET_ADMIN"),
    ),
    "Docker, `packaging/seccomp.json`: `keepline run --relay`": (
        "docker",
        _in_it("--security-opt", f"seccomp={WHOLE}"),
    ),
    "Docker: `keepline docker run`": ("docker", _wrapped()),
    "Docker: `keepline docker run -p`: a server inside is reached": ("docker", _published),
}
"""What is tried, each as it is told, with its engine."""


def play(engine: Engine, case: str) -> str:
    """Try it; return how it came out: "yes", or "WRONG" and why."""
    if engine.prefix:
        with _served():
            return _told(CASES[case][1](engine, f"{_SERVER}:8070"))
    network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    shown = engine.call("inspect", "--format", network, "api", check=True)
    return _told(CASES[case][1](engine, shown.stdout.strip()))


def _told(done: "subprocess.CompletedProcess[str]") -> str:
    if (done.returncode, done.stdout.strip()) == (0, HELLO):
        return "yes"
    return f"WRONG: status {done.returncode}, {done.stdout!r}, {done.stderr!r}"


@contextmanager
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
    argv = ["python3", "-m", "http.server", "--bind", _SERVER, "--directory", str(folder), "8070"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, stdout=quiet, stderr=quiet) as server:
        try:
            yield
        finally:
            server.kill()
            subprocess.run(["ip", "link", "del", "served"], check=True)
