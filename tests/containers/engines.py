"""The engines: each with a network, `far`, and a server in it that is called `api`."""

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final, Literal, TypeAlias

from .place import FOLDER, PROGRAM, USER, Place

Name: TypeAlias = Literal["podman", "rootless", "docker"]
NAMES: Final[tuple[Name, ...]] = ("podman", "rootless", "docker")

SHOWN: Final[Mapping[Name, str]] = {
    "podman": "podman",
    "rootless": "podman, rootless",
    "docker": "Docker",
}

HELLO: Final = "hello"
SERVED: Final = (
    f"mkdir /tmp/srv && cd /tmp/srv && echo {HELLO} >index.html && exec python3 -m http.server 80"
)
ASK: Final = "curl -sS --retry 50 --retry-delay 1 --retry-all-errors -m 20 http://api/"

_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_DOCKER: Final = "unix:///run/docker.sock"
_START_SECONDS: Final = 60
IMAGE: Final = "keepline-lab"
PROGRAM_OPTIONS: Final = ("--volume", f"{PROGRAM}:/opt/keepline:ro")
_LIMITS: Final = '["nofile=16384:16384", "nproc=65536:65536"]'
"""Those that podman would set can be raised by CAP_SYS_RESOURCE alone."""


@dataclass(frozen=True)
class Engine:
    """One engine that runs."""

    name: Name
    program: str
    environment: Mapping[str, str]
    image: Sequence[str]
    """What stands for the root file system."""
    options: Sequence[str]
    """Of each container."""
    prefix: Sequence[str] = field(default=())
    """What makes the caller the engine's user."""

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line of a command of the engine."""
        return [*self.prefix, self.program, *arguments]

    def call(
        self,
        *arguments: str,
        stdin: IO[bytes] | None = None,
        seconds: float = 120,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine to its end."""
        return subprocess.run(
            self.argv(*arguments),
            env=dict(self.environment),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=check,
        )

    def take(self, image: Path) -> None:
        """Import an image; raises CalledProcessError. The engine may not be let to its folder."""
        with image.open("rb") as file:
            path = f"ENV PATH={_PATH}"
            self.call("import", "--change", path, "-", IMAGE, stdin=file, check=True)

    def container(self, options: Sequence[str], script: str, *, how: Sequence[str]) -> list[str]:
        """Return the arguments that run a shell script in a container, by `how` of run(1)."""
        return ["run", *how, *self.options, *options, *self.image, *_argv(script)]


def with_image(engine: Engine, image: Path) -> Engine:
    """Return an engine whose containers are of an image, and not of the machine's root."""
    if list(engine.image) == [IMAGE]:
        return engine
    engine.take(image)
    return replace(engine, image=[IMAGE], options=PROGRAM_OPTIONS)


def _argv(script: str) -> list[str]:
    return ["sh", "-c", script]


def started(name: Name, image: Path, place: Place, cgroup: str) -> Engine | str:
    """Start an engine with its server; return why it cannot be had here instead, for people."""
    try:
        engine = _STARTS[name](image, place, cgroup)
        if isinstance(engine, str):
            return engine
        engine.call("network", "create", "--subnet", _SUBNETS[name], "far", check=True)
        names = ["--name", "api", "--network-alias", "other"]
        serve = engine.container(["--network", "far", *names], SERVED, how=["-d"])
        engine.call(*serve, check=True)
        asked = engine.call(*engine.container(["--network", "far"], ASK, how=["--rm"]))
    except subprocess.CalledProcessError as error:
        return _last_line(error.stderr or "") or str(error)
    if asked.stdout.strip() != HELLO:
        return f"no server is reached from a container: {_last_line(asked.stderr)}"
    return engine


_SUBNETS: Final[Mapping[Name, str]] = {
    "podman": "198.51.100.0/24",
    "rootless": "192.0.2.0/24",
    "docker": "203.0.113.0/24",
}


def _podman(_image: Path, _place: Place, _cgroup: str) -> Engine:
    """Return podman on the machine's own root file system, which it does not change.

    Where that is read-only, a tmpfs would be filled with copies of what is in the machine's /tmp.
    """
    folder = FOLDER / "podman"
    folder.mkdir()
    environment = _configured(folder, "/run/containers")
    options = ["--cgroups=disabled", "--read-only-tmpfs=false", *PROGRAM_OPTIONS]
    options += ["--tmpfs", "/tmp:mode=1777,notmpcopyup"]
    return Engine("podman", "podman", environment, ["--rootfs", "/:O"], options)


def _rootless(image: Path, place: Place, _cgroup: str) -> Engine | str:
    if place.tun:
        return place.tun
    folder = FOLDER / "home/podman"
    folder.mkdir()
    runtime = f"/run/user/{USER}"
    environment = _configured(folder, f"{runtime}/containers")
    environment |= {"HOME": str(FOLDER / "home"), "XDG_RUNTIME_DIR": runtime}
    for path in (folder, *folder.iterdir()):
        os.chown(path, USER, USER)
    prefix = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
    engine = Engine("rootless", "podman", environment, [IMAGE], PROGRAM_OPTIONS, prefix)
    engine.take(image)
    return engine


def _docker(image: Path, _place: Place, cgroup: str) -> Engine | str:
    """Start dockerd, whose default profile of seccomp and whose name server are its own."""
    log = FOLDER / "dockerd.log"
    argv = ["dockerd", "--host", _DOCKER, "--data-root", str(FOLDER / "docker")]
    argv += ["--exec-root", "/run/docker", "--pidfile", "/run/docker.pid"]
    argv += ["--storage-driver", "overlay2", "--default-ulimit", "nofile=16384:16384"]
    with log.open("wb") as file:
        daemon = subprocess.Popen(
            [*argv, "--cgroup-parent", cgroup],
            env={"PATH": _PATH},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    environment = {"PATH": _PATH, "DOCKER_HOST": _DOCKER, "HOME": str(FOLDER)}
    engine = Engine("docker", "/usr/bin/docker", environment, [IMAGE], PROGRAM_OPTIONS)
    until = time.monotonic() + _START_SECONDS
    while engine.call("version").returncode:
        if daemon.poll() is not None or time.monotonic() > until:
            return f"dockerd does not run: {_last_line(log.read_text())}"
        time.sleep(0.1)
    engine.take(image)
    return engine


_STARTS: Final = {"podman": _podman, "rootless": _rootless, "docker": _docker}


def _configured(folder: Path, run: str) -> dict[str, str]:
    """Write podman's configuration; return the variables that name it."""
    engine = 'cgroup_manager="cgroupfs"\nevents_logger="file"\nruntime="crun"\n'
    networks = f'[network]\nnetwork_backend="netavark"\nnetwork_config_dir="{folder}/networks"\n'
    containers = f"[containers]\ndefault_ulimits={_LIMITS}\n[engine]\n{engine}{networks}"
    storage = f'[storage]\ndriver="overlay"\ngraphroot="{folder}/graph"\nrunroot="{run}"\n'
    named = {}
    for name, text in (("containers", containers), ("storage", storage)):
        path = folder / f"{name}.conf"
        path.write_text(text)
        named[name] = str(path)
    return {
        "PATH": _PATH,
        "HOME": "/root",
        "CONTAINERS_CONF": named["containers"],
        "CONTAINERS_STORAGE_CONF": named["storage"],
    }


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "")


def stopped(engine: Engine) -> None:
    """End its containers; whatever is left ends with the place."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        engine.call("rm", "--force", "api", seconds=20)
