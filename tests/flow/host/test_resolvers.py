"""The host's resolvers: followed as resolv.conf changes, and required at the start."""

import os
import resource
from contextlib import ExitStack
from pathlib import Path

import pytest

from relay.addresses import Destination
from relay.host import HostError, resolvers
from relay.host.resolvers import HostResolvers, read_resolv_conf
from relay.record.events import Event, ResolversChanged

ONE = (Destination("192.0.2.1", 53),)
TWO = (Destination("192.0.2.2", 53),)


@pytest.fixture
def resolv_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\n")
    monkeypatch.setattr(resolvers, "RESOLV_CONF", str(path))
    return path


def replace(path: Path, text: str) -> None:
    """Replace the file as resolvconf(8) does: another inode, so that its status changes."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_a_change_is_followed_and_recorded_once(resolv_conf: Path) -> None:
    events: list[Event] = []
    servers = HostResolvers(resolv_conf, events.append)
    assert servers() == ONE
    replace(resolv_conf, "nameserver 192.0.2.2\n")
    assert [servers(), servers()] == [TWO, TWO]
    assert events == [ResolversChanged(resolvers=["192.0.2.2"])]


def test_the_last_known_ones_while_the_file_is_away_or_names_none(resolv_conf: Path) -> None:
    events: list[Event] = []
    servers = HostResolvers(resolv_conf, events.append)
    resolv_conf.unlink()
    assert servers() == ONE
    resolv_conf.write_text("nameserver 2001:db8::1\n")
    assert servers() == ONE
    assert events == []
    replace(resolv_conf, "nameserver 192.0.2.2\n")
    assert servers() == TWO


def test_a_file_that_cannot_be_read_for_a_while_is_read_later(resolv_conf: Path) -> None:
    servers = HostResolvers(resolv_conf, lambda _event: None)
    replace(resolv_conf, "nameserver 192.0.2.2\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as undo:
        undo.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        assert servers() == ONE
    assert servers() == TWO


@pytest.mark.parametrize("before", [True, False])
def test_a_file_replaced_beside_the_look_at_its_status_is_read(
    resolv_conf: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    servers = HostResolvers(resolv_conf, lambda _event: None)
    replace(resolv_conf, "nameserver 192.0.2.1\n# another\n")
    real = os.stat

    def stat_beside_a_change(path: Path) -> os.stat_result:
        monkeypatch.setattr(os, "stat", real)
        if before:
            replace(resolv_conf, "nameserver 192.0.2.2\n")
        status = real(path)
        if not before:
            replace(resolv_conf, "nameserver 192.0.2.2\n")
        return status

    monkeypatch.setattr(os, "stat", stat_beside_a_change)
    servers()
    assert servers() == TWO


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_that_is_away_from_the_start_means_loopback(
    resolv_conf: Path, *, is_link: bool
) -> None:
    resolv_conf.unlink()
    if is_link:
        resolv_conf.symlink_to("/nonexistent/resolv.conf")
    events: list[Event] = []
    servers = HostResolvers(resolv_conf, events.append)
    assert servers() == (Destination("127.0.0.1", 53),)
    replace(resolv_conf, "nameserver 192.0.2.1\n")
    assert servers() == ONE
    assert events == [ResolversChanged(resolvers=["192.0.2.1"])]


def test_resolv_conf_is_read(resolv_conf: Path) -> None:
    assert read_resolv_conf(()) == "nameserver 192.0.2.1\n"
    resolv_conf.unlink()
    assert read_resolv_conf(()) == ""


def test_ipv6_servers_alone_are_an_error_unless_others_are_set(resolv_conf: Path) -> None:
    resolv_conf.write_text("nameserver 2001:db8::1\n")
    with pytest.raises(HostError, match="names IPv6 name servers only"):
        read_resolv_conf(())
    assert read_resolv_conf(("192.0.2.1",)) == "nameserver 2001:db8::1\n"


def test_what_cannot_be_read_is_an_error(resolv_conf: Path) -> None:
    resolv_conf.unlink()
    resolv_conf.mkdir()
    with pytest.raises(HostError, match="Is a directory") as caught:
        read_resolv_conf(())
    assert caught.value.next_step == f"make it readable: chmod a+r {resolv_conf}"
