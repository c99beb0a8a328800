"""The way out: which variable names the proxy, for which destinations, and what programs lose."""

import pytest

from relay.addresses import Destination
from relay.proxies.routes import Routes, VariableError, routes
from relay.proxies.url import Credentials
from relay.proxies.variables import of_proxies

NAME = Destination("api.example.com", 443)


def of(environment: dict[str, str], setting: str = "auto") -> Routes:
    found = routes(setting, environment)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("environment", "https", "http"),
    [
        ({"HTTPS_PROXY": "http://a:1"}, "http://a:1", None),
        ({"HTTP_PROXY": "http://a:1"}, None, "http://a:1"),
        ({"ALL_PROXY": "socks5://a:1"}, "socks5://a:1", "socks5://a:1"),
        ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "http://a:1", None),
        ({"HTTPS_PROXY": "http://a:1", "all_proxy": "http://b:1"}, "http://a:1", "http://b:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://b:1"}, "http://b:1", None),
        ({"https_proxy": " ", "ALL_PROXY": "http://b:1"}, "http://b:1", "http://b:1"),
    ],
)
def test_variables_in_curls_order(
    environment: dict[str, str], https: str | None, http: str | None
) -> None:
    found = of(environment)
    assert str(found.proxy_for(NAME)) == str(https)
    assert str(found.proxy_for(Destination(NAME.host, 22))) == str(https)
    assert str(found.proxy_for(Destination(NAME.host, 80))) == str(http)
    assert found.is_from_variables


@pytest.mark.parametrize(
    ("setting", "environment"),
    [
        ("off", {"HTTPS_PROXY": "http://a:1"}),
        ("auto", {}),
        ("auto", {"NO_PROXY": "x", "HTTPS_PROXY": ""}),
        ("auto", {"NO_PROXY": "*", "HTTPS_PROXY": "http://a:1"}),
    ],
)
def test_there_may_be_none(setting: str, environment: dict[str, str]) -> None:
    assert routes(setting, environment) is None


def test_a_setting_holds_for_all_ports_and_keeps_no_proxy() -> None:
    found = of({"HTTPS_PROXY": "http://a:1", "no_proxy": "corp.test"}, "http://me:pw@b:2")
    assert str(found.proxy_for(Destination("example.com", 80))) == "http://b:2"
    assert found.proxy_for(Destination("db.corp.test", 5432)) is None
    assert found.told == "proxy http://b:2 (by the setting proxy)"
    assert not found.is_from_variables


def test_the_proxy_itself_is_dialled_directly() -> None:
    found = of({"HTTPS_PROXY": "http://proxy.corp:3128"})
    assert found.proxy_for(Destination("proxy.corp", 3128)) is None
    assert found.proxy_for(Destination("proxy.corp", 443)) is not None


def test_which_names_are_left_to_a_proxy() -> None:
    found = of({"HTTPS_PROXY": "http://proxy.corp:3128", "NO_PROXY": "lan.test,x.test:80"})
    names = ["example.com", "proxy.corp", "db.lan.test", "x.test", "localhost"]
    assert [found.resolves(name) for name in names] == [True, False, False, True, False]
    assert not of({"HTTP_PROXY": "http://cache:3142"}).resolves("example.com")


def test_both_proxies_are_told_once() -> None:
    found = of({"https_proxy": "http://a:1", "HTTP_PROXY": "http://b:1"})
    assert found.told == "proxy http://a:1 and http://b:1 (https_proxy and HTTP_PROXY)"
    assert of({"ALL_PROXY": "http://a:1"}).told == "proxy http://a:1 (ALL_PROXY)"


def test_credentials_can_come_from_elsewhere() -> None:
    known = Credentials(b"me", b"pw")
    found = of({"https_proxy": "http://a:1"}).with_credentials(known)
    assert [each.credentials for each in found.proxies] == [known]


def test_a_variable_that_names_none_is_told_without_what_it_holds() -> None:
    with pytest.raises(VariableError, match=r"^https_proxy has a scheme") as told:
        routes("auto", {"https_proxy": "socks4://me:secret@a"})
    assert "secret" not in str(told.value)
    with pytest.raises(ValueError, match=r"^is a PAC file"):
        routes("http://a/proxy.pac", {})


def test_programs_learn_of_no_proxy() -> None:
    names = ["HTTPS_PROXY", "http_proxy", "NO_PROXY", "NPM_CONFIG_HTTPS_PROXY", "PATH"]
    assert of_proxies(names) == names[:-1]
    environment = dict.fromkeys([*names, "KEEPLINE_PROXY", "KEEPLINE_PROXY_COMMAND"], "http://a")
    assert of(environment).environment(environment) == {
        **dict.fromkeys(names[:-1]),
        "KEEPLINE_PROXY_COMMAND": None,
        "KEEPLINE_PROXY": "off",
    }
