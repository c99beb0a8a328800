"""What is tried: engines, users and privileges so that each two of them meet, and more by name.

tests/unit/test_containers.py holds that each pair is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from .engines import HELLO, NAMES, Name
from .place import FOLDER

User: TypeAlias = Literal["root", "user"]
Capabilities: TypeAlias = Literal["default", "none", "NET_ADMIN", "SYS_ADMIN"]
Seccomp: TypeAlias = Literal["default", "shipped", "unshare alone", "unconfined"]
Network: TypeAlias = Literal["bridge", "none"]

KEEPLINE: Final = "/opt/keepline/bin/keepline"
WHOLE: Final = FOLDER / "seccomp.json"
"""packaging/seccomp.json, where everybody can read it."""
TRIMMED: Final = FOLDER / "unshare.json"
"""Docker's default profile with unshare alone added to it."""

_RUN: Final = f"{KEEPLINE} run -- curl -sS -m 20 http://api/"
_RUN_ALONE: Final = f"{KEEPLINE} run -- curl -sS -m 1 http://api/"


@dataclass(frozen=True)
class Row:
    """One container, and what is run in it."""

    engine: Name
    user: User = "root"
    capabilities: Capabilities = "default"
    seccomp: Seccomp = "default"
    read_only: bool = False
    no_new_privileges: bool = False
    network: Network = "bridge"
    what: str = ""
    """What is special about it, for people."""
    script: str = ""
    """Run by a shell; by default, a page is fetched under keepline."""
    options: Sequence[str] = ()
    """Further ones of the engine's."""
    printed: str = HELLO
    """What is on stdout where it works."""
    is_stopped: bool = False
    """Whether the container is stopped by its engine, once "ready" has been printed."""

    @property
    def command(self) -> str:
        """The script."""
        return self.script or (_RUN if self.network == "bridge" else _RUN_ALONE)

    def flags(self) -> list[str]:
        """Return the engine's options."""
        flags = ["--network", "far" if self.network == "bridge" else "none", *self.options]
        flags += ["--user", "4711"] if self.user == "user" else []
        flags += _CAPABILITIES[self.capabilities]
        if self.seccomp != "default":
            flags += ["--security-opt", f"seccomp={_PROFILES[self.seccomp]}"]
        flags += ["--read-only"] if self.read_only else []
        flags += ["--security-opt", "no-new-privileges"] if self.no_new_privileges else []
        return flags


_CAPABILITIES: Final[Mapping[Capabilities, Sequence[str]]] = {
    "default": (),
    "none": ("--cap-drop", "ALL"),
    "NET_ADMIN": ("--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW"),
    "SYS_ADMIN": ("--cap-add", "SYS_ADMIN"),
}
_PROFILES: Final[Mapping[Seccomp, str | Path]] = {
    "shipped": WHOLE,
    "unshare alone": TRIMMED,
    "unconfined": "unconfined",
}

FACTORS: Final[Mapping[str, Sequence[object]]] = {
    "engine": NAMES,
    "user": ("root", "user"),
    "capabilities": tuple(_CAPABILITIES),
    "seccomp": ("default", *_PROFILES),
    "read_only": (False, True),
    "no_new_privileges": (False, True),
    "network": ("bridge", "none"),
}
"""The columns of which each two values meet in some row."""

PAIRS: Final = (
    Row("podman"),
    Row("podman", user="user"),
    Row("rootless"),
    Row("rootless", user="user"),
    Row("docker"),
    Row("docker", user="user"),
    Row("docker", seccomp="shipped"),
    Row("docker", user="user", seccomp="shipped"),
    Row("docker", user="user", seccomp="unshare alone"),
    Row(
        "rootless",
        capabilities="NET_ADMIN",
        seccomp="shipped",
        read_only=True,
        no_new_privileges=True,
        network="none",
    ),
    Row(
        "docker",
        user="user",
        capabilities="none",
        seccomp="unconfined",
        read_only=True,
        no_new_privileges=True,
        network="none",
    ),
    Row("docker", user="user", capabilities="SYS_ADMIN", seccomp="unshare alone", read_only=True),
    Row("podman", capabilities="SYS_ADMIN", no_new_privileges=True, network="none"),
    Row("podman", capabilities="none", seccomp="shipped"),
    Row("docker", capabilities="NET_ADMIN", seccomp="unconfined"),
    Row("podman", seccomp="unshare alone", read_only=True, no_new_privileges=True),
    Row("rootless", user="user", capabilities="none", seccomp="unshare alone", network="none"),
    Row("podman", user="user", capabilities="NET_ADMIN", read_only=True, no_new_privileges=True),
    Row("rootless", user="user", capabilities="SYS_ADMIN", seccomp="unconfined", read_only=True),
    Row("docker", user="user", seccomp="shipped", no_new_privileges=True, network="none"),
    Row("rootless", capabilities="none", read_only=True, no_new_privileges=True),
    Row("podman", seccomp="unconfined", read_only=True),
    Row(
        "podman",
        user="user",
        capabilities="NET_ADMIN",
        seccomp="unshare alone",
        no_new_privileges=True,
    ),
    Row("rootless", user="user", capabilities="SYS_ADMIN", seccomp="shipped", network="none"),
)
"""Each two values of FACTORS meet here."""

_ORPHANS: Final = "for i in 1 2 3; do (true & exec true); done"
_NO_ZOMBIE: Final = "while grep -qs '^State:.Z' /proc/[0-9]*/status; do sleep 0.1; done"
_ASKED: Final = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
_FIRST: Final = f'exec {KEEPLINE} run -- sh -c "{_ORPHANS}; {_NO_ZOMBIE}; {_ASKED}"'
_LINGERS: Final = f"exec {KEEPLINE} run --linger -- sh -c '(echo ready; exec sleep 600) & exit 0'"
_CERTIFICATE: Final = (
    f"{KEEPLINE} run --gateway=tls -- sh -c 'test -s \"$NODE_EXTRA_CA_CERTS\" && echo {HELLO}'"
)
_DOOR: Final = (
    "import os, socket; os.mkdir('/run/nscd'); s = socket.socket(socket.AF_UNIX);"
    " s.bind('/run/nscd/socket'); s.listen()"
)
_CURL: Final = "curl -sS -m 20 http://api/"
_BWRAP: Final = "bwrap --dev-bind / / --proc /proc --unshare-user --unshare-pid"

NAMED: Final = (
    *(
        Row(
            engine,
            "user",
            seccomp="shipped",
            what="keepline is PID 1, and the container is stopped",
            script=_FIRST,
            printed="ready\nasked",
            is_stopped=True,
        )
        for engine in NAMES
    ),
    Row(
        "docker",
        seccomp="shipped",
        what="`--linger` as PID 1, and the container is stopped",
        script=_LINGERS,
        printed="ready",
        is_stopped=True,
    ),
    Row(
        "docker",
        "user",
        "none",
        "shipped",
        read_only=True,
        no_new_privileges=True,
        what="nothing is left to take away",
    ),
    Row(
        "docker",
        "user",
        "none",
        "unshare alone",
        read_only=True,
        no_new_privileges=True,
        what="`--gateway=tls`: the certificate is at hand",
        script=_CERTIFICATE,
    ),
    Row(
        "docker",
        "user",
        seccomp="shipped",
        what="`--init`",
        options=("--init",),
    ),
    Row(
        "docker",
        "user",
        seccomp="shipped",
        what="rules: `--allow api`",
        script=f"{KEEPLINE} run --allow api -- {_CURL}",
    ),
    Row(
        "docker",
        seccomp="unshare alone",
        what="rules, as one who may write resolv.conf",
        script=f"{KEEPLINE} run --allow api -- {_CURL}",
    ),
    Row(
        "docker",
        seccomp="unshare alone",
        what="a socket of nscd is there",
        script=f'python3 -c "{_DOOR}"; {KEEPLINE} run -- {_CURL}',
        options=("--tmpfs", "/run"),
    ),
    Row(
        "docker",
        "user",
        seccomp="shipped",
        what="`--strict`",
        script=f"{KEEPLINE} run --strict --allow api -- {_CURL}",
    ),
    Row(
        "docker",
        "user",
        seccomp="shipped",
        what="`--strict`, with `--security-opt systempaths=unconfined`",
        script=f"{KEEPLINE} run --strict --allow api -- {_CURL}",
        options=("--security-opt", "systempaths=unconfined"),
    ),
    Row(
        "docker",
        "user",
        seccomp="shipped",
        what="`bwrap` inside, with `--security-opt systempaths=unconfined`",
        script=f"{KEEPLINE} run -- {_BWRAP} {_CURL}",
        options=("--security-opt", "systempaths=unconfined"),
    ),
    Row("rootless", what="`--userns keep-id`", options=("--userns", "keep-id")),
    Row(
        "rootless",
        "user",
        what="in a `bwrap --disable-userns`, with `--security-opt unmask=ALL`",
        script=f"bwrap --dev-bind / / --unshare-user --disable-userns {KEEPLINE} run -- {_CURL}",
        options=("--security-opt", "unmask=ALL"),
    ),
    Row(
        "rootless",
        "user",
        what="in a `bwrap --ro-bind / /`, whose /proc is read-only",
        script=f"bwrap --ro-bind / / --dev /dev --tmpfs /tmp {KEEPLINE} run -- {_CURL}",
    ),
)
"""What is tried beside the pairs."""

ROWS: Final = (*PAIRS, *NAMED)
