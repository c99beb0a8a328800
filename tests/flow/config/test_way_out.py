"""The way out as it is found before the start: who names it, who it is known by, where it is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from netns.errors import KeeplineError
from relay.config import Settings, way_out
from relay.config.way_out import WayOut
from relay.proxies.url import Credentials

VARIABLES = {"https_proxy": "http://proxy.corp:3128"}
Find = Callable[..., WayOut | None]


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text("# a comment\n::1 proxy.corp\n10.0.0.9 a.test Proxy.Corp. # ours\n10.0.0.8 b\n")
    return path


@pytest.fixture
def find(hosts: Path) -> Find:
    def find(environment: dict[str, str] = VARIABLES, **settings: str | bool) -> WayOut | None:
        made = Settings(**settings)  # type: ignore[arg-type]
        return way_out.find(made, environment, pytest.fail, hosts=hosts)

    return find


def found(out: WayOut | None) -> WayOut:
    assert out is not None
    return out


def test_there_may_be_none(find: Find) -> None:
    assert find({}) is None
    assert find(proxy="off") is None


def test_a_name_that_this_host_knows_is_not_asked_for(find: Find, hosts: Path) -> None:
    assert found(find()).known == {"proxy.corp": "10.0.0.9"}
    assert found(find(proxy="http://localhost:1")).known == {"localhost": "127.0.0.1"}
    assert found(find(proxy="http://10.0.0.1:1")).known == {}
    assert found(find(proxy="http://other:1")).known == {}
    hosts.unlink()
    assert found(find()).known == {}


def test_names_are_left_to_the_proxy(find: Find) -> None:
    assert found(find()).is_left("example.com")
    assert not found(find(proxy_dns=True)).is_left("example.com")
    assert not found(find(dns="real")).is_left("example.com")


def test_a_variable_that_cannot_be_used_is_told(hosts: Path) -> None:
    told: list[str] = []
    variables = {"https_proxy": "socks4://me:secret@a"}
    assert way_out.find(Settings(), variables, told.append, hosts=hosts) is None
    assert len(told) == 1
    assert told[0].startswith("the proxy is left to programs, for https_proxy has a scheme")
    assert "secret" not in told[0]


def test_a_pac_file_is_named_where_nothing_else_is(hosts: Path) -> None:
    told: list[str] = []
    named = {"auto_proxy": "http://wpad/wpad.dat"}
    assert way_out.find(Settings(), named, told.append, hosts=hosts) is None
    assert told == [
        "auto_proxy names a PAC file, which is a program and not read; --proxy URL names one"
    ]
    assert way_out.find(Settings(proxy="off"), named, pytest.fail, hosts=hosts) is None
    out = found(way_out.find(Settings(), VARIABLES | named, pytest.fail, hosts=hosts))
    assert out.routes.environment(named)["auto_proxy"] is None


def test_a_command_prints_credentials(find: Find) -> None:
    out = found(find(proxy_command="echo me:p:w"))
    assert [each.credentials for each in out.routes.proxies] == [Credentials(b"me", b"p:w")]


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("no-such-program-anywhere", "No such file"),
        ("false", "it has failed"),
        ("echo secret", "not one line with a colon"),
        ("printf 'a:secret\\nb'", "not one line with a colon"),
        ("echo 'me", "No closing quotation"),
    ],
)
def test_a_command_that_prints_none_ends_the_start(find: Find, command: str, cause: str) -> None:
    with pytest.raises(KeeplineError, match=cause) as told:
        find(proxy_command=command)
    assert "secret" not in str(told.value)


def test_a_command_that_does_not_end(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_out, "SECONDS", 0.01)
    with pytest.raises(KeeplineError, match="no end within"):
        find(proxy_command="sleep 60")


def test_credentials_that_the_proxy_cannot_be_told(find: Find) -> None:
    with pytest.raises(KeeplineError, match="SOCKS5 cannot carry"):
        find(proxy="socks5://10.0.0.1", proxy_command="echo me:")


def changes_nothing(_path: Path) -> bool:
    return False


def test_a_command_is_run_again_by_its_path_if_nobody_inside_can_change_it(hosts: Path) -> None:
    made = Settings(proxy_command="echo me:pw")

    def out_of(settings: Settings, can_change: Callable[[Path], bool] | None) -> WayOut:
        return found(
            way_out.find(settings, VARIABLES, pytest.fail, hosts=hosts, can_change=can_change)
        )

    out = out_of(made, changes_nothing)
    assert (out.command, out.why_once) == ((shutil.which("echo"), "me:pw"), "")
    strict = Settings(proxy_command="echo me:pw", strict=True)
    assert "--strict" in out_of(strict, changes_nothing).why_once
    assert "can change /" in out_of(made, lambda path: path.name == "echo").why_once
    script = hosts.with_name("print")
    script.write_text("echo me:pw")
    out = out_of(Settings(proxy_command=f"sh {script}"), None)
    assert "can change /" in out.why_once
    assert out_of(Settings(), None).command == ()
