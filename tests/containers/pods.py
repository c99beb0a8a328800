"""The sidecar: pods of podman, by hand and by `podman kube play`, and containers of Docker's.

A pod is a relay without any privilege, rules that a container with NET_ADMIN alone has made before,
and an application of another user, whose connections are relayed. steps.py has what is tried.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .engines import HELLO, IMAGE, Engine, Name
from .place import FOLDER, PROGRAM
from .rows import KEEPLINE

RELAY: Final = 1337
_APP: Final = 4711
_STATE: Final = FOLDER / "state"
_RULES: Final = f"{KEEPLINE} sidecar rules"
_RELAY: Final = f"exec {KEEPLINE} sidecar relay --state /state"
_SLEEP: Final = "exec sleep inf"
_WAITS: Final = ("--dns-option", "timeout:30", "--dns-option", "attempts:5")
"""How long the application waits for a name; by default, 10 s."""
_NO_PRIVILEGE: Final = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")

_YAML: Final = """\
apiVersion: v1
kind: Pod
metadata: {{ name: kube }}
spec:
  restartPolicy: Never
  dnsConfig:
    options: [{{ name: timeout, value: "30" }}, {{ name: attempts, value: "5" }}]
  initContainers:
  - name: rules
    image: {image}
    command: [sh, -c, {rules}]
    securityContext: {{ runAsUser: 0, capabilities: {{ drop: [ALL], add: [NET_ADMIN] }} }}
    volumeMounts: [{{ name: keepline, mountPath: /opt/keepline, readOnly: true }}]
  containers:
  - name: relay
    image: {image}
    command: [sh, -c, {relay}]
    securityContext:
      runAsUser: 1337
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {{ drop: [ALL] }}
    volumeMounts:
    - {{ name: keepline, mountPath: /opt/keepline, readOnly: true }}
    - {{ name: state, mountPath: /state }}
  - name: app
    image: {image}
    command: [sleep, inf]
    securityContext:
      runAsUser: 4711
      allowPrivilegeEscalation: false
      capabilities: {{ drop: [ALL] }}
    volumeMounts: [{{ name: keepline, mountPath: /opt/keepline, readOnly: true }}]
  volumes:
  - {{ name: keepline, hostPath: {{ path: {program} }} }}
  - {{ name: state, hostPath: {{ path: {state} }} }}
"""


@dataclass(frozen=True)
class Done:
    """What a program of the application's did."""

    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def is_answered(self) -> bool:
        """Whether it has printed what the server says."""
        return (self.status, self.stdout) == (0, HELLO)

    def __str__(self) -> str:
        """Return it for people."""
        return f"status {self.status}, {self.stdout!r}, {self.stderr!r}, {self.seconds:.1f} s"


class Pod:
    """A pod that runs."""

    def __init__(self, engine: Engine, state: Path, prefix: str, owner: str) -> None:
        self.engine = engine
        self.state = state
        self._prefix = prefix
        self._owner = owner
        self.address = ""
        """That of the server, as the application knows it."""

    def app(self, script: str) -> Done:
        """Run a shell script in the application's container."""
        began = time.monotonic()
        done = self.engine.call("exec", self.named("app"), "sh", "-c", script)
        seconds = time.monotonic() - began
        return Done(done.returncode, done.stdout.strip(), done.stderr.strip(), seconds)

    def named(self, container: str) -> str:
        """Return the name of one of its containers."""
        return f"{self._prefix}{container}"

    def net(self, *argv: str) -> str:
        """Run a program of the machine's in the pod's network; return its stdout."""
        return self.net_of(self._owner, *argv)

    def net_of(self, container: str, *argv: str) -> str:
        """Run one in the network of any container; raises CalledProcessError."""
        shown = self.engine.call("inspect", "--format", "{{.State.Pid}}", container, check=True)
        inside = ["nsenter", "--target", shown.stdout.strip(), "--net", *argv]
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout


def _state(kind: str) -> Path:
    """Make the relay's volume."""
    folder = _STATE / kind.replace(" ", "-")
    folder.mkdir(parents=True)
    os.chown(folder, RELAY, RELAY)
    return folder


def _by_hand(engine: Engine, kind: str) -> Pod:
    """Start the containers one by one; raises CalledProcessError."""
    if engine.name == "docker":
        owner, joined = "net", ["--network", "container:net"]
        options = ["--network", "far", "--name", "net", *_WAITS]
        engine.call(*engine.container(options, _SLEEP, how=["-d"]), check=True)
    else:
        owner, joined = "app", ["--pod", "agent"]
        engine.call("pod", "create", "--name", "agent", "--network", "far", *_WAITS, check=True)
    state = _state(kind)
    volume = ["--volume", f"{state}:/state"]
    rules = [*joined, "--cap-drop", "ALL", "--cap-add", "NET_ADMIN"]
    relay = [
        *joined,
        *_NO_PRIVILEGE,
        "--user",
        str(RELAY),
        "--read-only",
        *volume,
        "--name",
        "relay",
    ]
    app = [*joined, *_NO_PRIVILEGE, "--user", str(_APP), "--name", "app"]
    engine.call(*engine.container(rules, _RULES, how=["--rm"]), check=True)
    engine.call(*engine.container(relay, _RELAY, how=["-d"]), check=True)
    engine.call(*engine.container(app, _SLEEP, how=["-d"]), check=True)
    return Pod(engine, state, "", owner)


def _played(engine: Engine, kind: str) -> Pod:
    """Have podman start what a file describes; raises CalledProcessError."""
    file, state = FOLDER / "pod.yaml", _state(kind)
    file.write_text(
        _YAML.format(
            image=f"localhost/{IMAGE}",
            rules=json.dumps(_RULES),
            relay=json.dumps(_RELAY),
            program=PROGRAM,
            state=state,
        )
    )
    engine.call("kube", "play", "--network", "far", str(file), check=True)
    return Pod(engine, state, "kube-", "kube-app")


KINDS: Final[Mapping[str, tuple[Name, Callable[[Engine, str], Pod]]]] = {
    "podman pod": ("podman", _by_hand),
    "podman kube play": ("podman", _played),
    "Docker": ("docker", _by_hand),
}
"""Kinds of pods, with their engines."""
