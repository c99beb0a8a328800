"""Where nothing may be mounted: what is in the way of going on without, each with a next step."""

import errno
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from netns import unmounted
from netns.errors import SandboxError
from netns.plan import Plan
from netns.unmounted import SERVERS_OF, bypasses, names_ipv4, require_without

PLAN = Plan(["true"])
REFUSED = OSError(errno.EACCES, "mount /: Permission denied")


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return where a container's files are: a name server by IPv4, no service beside it."""
    for name, text in (
        ("resolv.conf", "nameserver 127.0.0.11\n"),
        ("nsswitch.conf", "hosts: files dns\n"),
    ):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(unmounted, name.replace(".", "_").upper(), str(tmp_path / name))
    places = {
        "BYPASS_FOLDERS": (str(tmp_path / "nscd"),),
        "BYPASS_SOCKETS": (str(tmp_path / "bus"),),
    }
    for name, value in places.items():
        monkeypatch.setattr(unmounted, name, value)
    monkeypatch.setattr(unmounted, "SERVERS_OF", {"resolve": (str(tmp_path / "resolve"),)})
    return tmp_path


def listen(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("resolve", "/run/systemd/resolve/io.systemd.Resolve"),
        ("mymachines", "/run/systemd/machine/io.systemd.Machine"),
        ("mdns4_minimal", "/run/avahi-daemon/socket"),
        ("sss", "/var/lib/sss/pipes/nss"),
        ("ldap", "/run/nslcd/socket"),
        ("wins", "/run/samba/winbindd/pipe"),
    ],
)
def test_each_service_is_looked_for_where_its_socket_is(source: str, path: str) -> None:
    assert str(Path(path).parent) in SERVERS_OF[source]


def test_a_plain_container_does_without(container: Path) -> None:
    told = require_without(PLAN, REFUSED)
    assert told.startswith("nothing can be mounted here (Permission denied): resolv.conf and ")
    assert "ssh" not in told
    assert "ssh" in require_without(replace(PLAN, owned=["/etc/ssh/ssh_config"]), REFUSED)


@pytest.mark.parametrize("place", ["nscd/socket", "bus", "resolve/io.systemd.Resolve"])
def test_a_socket_that_resolves_names_is_a_door(container: Path, place: str) -> None:
    (container / "nsswitch.conf").write_text("hosts: files resolve [!UNAVAIL=return] dns\n")
    require_without(PLAN, REFUSED)
    listen(container / place)
    with pytest.raises(SandboxError, match="would resolve names past keepline") as raised:
        require_without(PLAN, REFUSED)
    assert str(container / place) in raised.value.cause
    assert "packaging/seccomp.json" in raised.value.next_step


def test_a_source_that_is_not_asked_is_no_door(container: Path) -> None:
    listen(container / "resolve/io.systemd.Resolve")
    require_without(PLAN, REFUSED)


def test_a_source_that_nobody_knows_is_a_door(container: Path) -> None:
    (container / "nsswitch.conf").write_text("hosts: files gw_name dns\n")
    with pytest.raises(SandboxError, match="the source `gw_name`"):
        require_without(PLAN, REFUSED)


def test_what_cannot_be_looked_at_is_a_door(
    container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (container / "nscd").mkdir()

    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SandboxError, match="nscd would resolve"):
        require_without(PLAN, REFUSED)
    monkeypatch.undo()


def test_a_socket_that_cannot_be_looked_at_is_a_door(
    container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def refuse(path: str) -> os.stat_result:
        if path == str(container / "bus"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return stat(path)

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(SandboxError, match="bus would resolve"):
        require_without(PLAN, REFUSED)


def test_strict_needs_mounts(container: Path) -> None:
    with pytest.raises(SandboxError, match="--strict hides files by mounts"):
        require_without(replace(PLAN, strict=True), REFUSED)


def test_rules_do_not_hold_where_the_program_chooses_who_resolves(
    container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruled = replace(PLAN, has_rules=True)
    with pytest.raises(SandboxError, match="get around rules"):
        require_without(ruled, REFUSED)
    monkeypatch.setattr(os, "access", lambda *_asked: False)
    require_without(ruled, REFUSED)


def test_servers_of_ipv6_alone_would_not_be_reached(container: Path) -> None:
    (container / "resolv.conf").write_text("nameserver fd00::53\n")
    with pytest.raises(SandboxError, match="IPv6 name servers only"):
        require_without(PLAN, REFUSED)
    (container / "resolv.conf").unlink()
    require_without(PLAN, REFUSED)


@pytest.mark.parametrize(
    ("text", "by_ipv4"),
    [
        ("", True),
        ("nameserver 127.0.0.11\noptions ndots:0\n", True),
        ("nameserver fd00::1\nnameserver 10.0.0.1\n", True),
        ("nameserver fd00::1\n", False),
        ("nameserver\nsearch example\n", True),
    ],
)
def test_whom_a_program_asks(text: str, by_ipv4: bool) -> None:
    assert names_ipv4(text) is by_ipv4


@pytest.mark.parametrize(
    ("hosts", "others"),
    [
        ("hosts: files dns", []),
        (
            "hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns",
            ["mymachines", "resolve"],
        ),
        ("hosts: files[NOTFOUND=return]mdns4 dns # wins", ["mdns4"]),
        ("passwd: files sss\n hosts:\tfiles sss [SUCCESS=merge", ["sss"]),
        ("passwd: files sss", []),
    ],
)
def test_sources_that_ask_somebody_else(hosts: str, others: list[str]) -> None:
    assert bypasses(hosts) == others
