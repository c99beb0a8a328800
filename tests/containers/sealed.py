"""Containers without a network: `keepline run --relay` in them, and what wraps it from outside."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from .engines import HELLO, Engine, Name
from .place import FOLDER, PROGRAM
from .rows import KEEPLINE, WHOLE

_SOCKETS: Final = FOLDER / "sockets"
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
        sealed = ["--network", "none", "--volume", f"{_SOCKETS}:{_INSIDE}", *options]
        with _relay(engine):
            return engine.call(*engine.container(sealed, script, how=["--rm"]))

    return asked


def _wrapped(*settings: str) -> Asked:
    """Return what has keepline start the container itself."""

    def asked(engine: Engine, address: str) -> "subprocess.CompletedProcess[str]":
        curl = ["curl", "-sS", "-m", "20", f"http://{address}/"]
        inside = [KEEPLINE, "run", "--", *curl] if engine.name == "docker" else curl
        run = ["run", "--rm", *engine.options, *engine.image, *inside]
        return _outside(engine, engine.name, *settings, *run)

    return asked


def _outside(engine: Engine, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*_OWN, *arguments],
        env=_environment(engine),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def _environment(engine: Engine) -> dict[str, str]:
    return {**engine.environment, "XDG_STATE_HOME": str(FOLDER / "outside")}


@contextmanager
def _relay(engine: Engine) -> Iterator[None]:
    """Have a relay serve what connects to its socket."""
    _SOCKETS.mkdir(mode=0o700, exist_ok=True)
    path = _SOCKETS / "relay.sock"
    argv = [*_OWN, "relay", "--socket", str(path)]
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

CASES: Final[Mapping[str, tuple[Name, Asked]]] = {
    "podman: `keepline run --relay`": ("podman", _in_it()),
    "podman: `keepline podman run`, nothing of keepline inside": ("podman", _wrapped()),
    "podman: `keepline podman --deny ADDRESS run`: denied": ("podman", _denied),
    "Docker, its default profile, `--cap-add NET_ADMIN`: `keepline run --relay`": (
        "docker",
        _in_it("--cap-add", "NET_ADMIN"),
    ),
    "Docker, `packaging/seccomp.json`: `keepline run --relay`": (
        "docker",
        _in_it("--security-opt", f"seccomp={WHOLE}"),
    ),
    "Docker: `keepline docker run`": ("docker", _wrapped()),
}
"""What is tried, each as it is told, with its engine."""


def play(engine: Engine, case: str) -> str:
    """Try it; return how it came out: "yes", or "WRONG" and why."""
    network = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    shown = engine.call("inspect", "--format", network, "api", check=True)
    done = CASES[case][1](engine, shown.stdout.strip())
    if (done.returncode, done.stdout.strip()) == (0, HELLO):
        return "yes"
    return f"WRONG: status {done.returncode}, {done.stdout!r}, {done.stderr!r}"
