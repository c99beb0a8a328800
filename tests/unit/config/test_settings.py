"""Settings: three sources in order, each mistake told with its place."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from relay import config
from relay.addresses import Destination
from relay.config import ConfigError, Entry, Settings
from relay.policy.host_ports import PortRange


def test_defaults() -> None:
    assert config.merge() == Settings()


def test_a_later_source_wins() -> None:
    file = config.from_toml("keepidle = 30\nkeepintvl = 7\n", "c.toml")
    environment = config.from_environment({"KEEPLINE_KEEPIDLE": "40", "HOME": "/"})
    flags = config.from_words({"keepidle": "50"}, lambda key: f"--{key}: ")
    assert config.merge(file, environment) == Settings(keepidle=40, keepintvl=7)
    assert config.merge(file, environment, flags) == Settings(keepidle=50, keepintvl=7)


def test_lists() -> None:
    file = config.from_toml('allow = ["a.example", "*.b.example:443"]\nports = [80]', "c.toml")
    assert config.merge(file).allow == (
        Entry(host="a.example", source="c.toml:1"),
        Entry(host="*.b.example:443", source="c.toml:1"),
    )
    words = config.from_environment({"KEEPLINE_PORTS": "80,443", "KEEPLINE_LINGER": "true"})
    assert config.merge(words).ports == (80, 443)
    assert config.merge(words).linger is True


def test_a_destination_has_settings_of_its_own() -> None:
    text = '[destination."*.example.com:443"]\nidle_retire = 240\n'
    policy = config.merge(config.from_toml(text, "c.toml")).policy()
    assert policy.idle_retire(Destination("api.example.com", 443)) == 240
    assert policy.idle_retire(Destination("api.example.com", 80)) == math.inf
    assert policy.idle_retire(Destination("example.org", 443)) == math.inf


def test_the_gateway_has_a_table_of_its_own() -> None:
    text = '[gateway]\nmode = "http"\nhosts = ["llm.example:8443"]\nhold = "none"\n'
    file = config.merge(config.from_toml(text, "c.toml"))
    assert (file.gateway, file.gateway_hosts, file.hold) == ("http", ("llm.example:8443",), "none")
    assert config.merge(config.from_toml('gateway = "off"', "c.toml")).gateway == "off"
    words = config.from_environment({"KEEPLINE_GATEWAY": "tls", "KEEPLINE_GATEWAY_HOSTS": "a,b"})
    assert config.merge(words).gateway_hosts == ("a", "b")


def test_the_session_variable_is_no_setting() -> None:
    assert config.from_environment({"KEEPLINE_SESSION": "x"}) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keepidle = 0", "c.toml:1: keepidle: Expected `int` >= 1"),
        ("\n# keepidle\nkeepidle = 'x'", "c.toml:3: keepidle: Expected `int`, got `str`"),
        ("keepidle = 1\nnone_such = 2", "c.toml:2: none_such: there is no such setting"),
        ("[gate]\nway = 1", "c.toml:1: gate: there is no such setting"),
        ("\ndns = 'both'", "c.toml:2: dns: Invalid enum value 'both', not one of synthetic, real"),
        ("allow = ['a b']", "c.toml:1: allow: 'a b': the form is HOST[:PORT]"),
        ("\ndns_pool = '8.8.0.0/16'", "c.toml:2: dns_pool: '8.8.0.0/16' is in none of 10.0.0.0/8"),
        ("nameservers = ['::1']", "c.toml:1: nameservers: '::1' is not an IPv4 ADDRESS[:PORT]"),
        ("nameservers = ['192.0.2.1:x']", "c.toml:1: nameservers: '192.0.2.1:x' is not an IPv4"),
        ("[destination.x]\nidle_retire = 0", "c.toml:1: destination: Expected `int` >= 1"),
        ("\n[destination.'a b']\nidle_retire = 1", "c.toml:2: destination: 'a b': the form is"),
        ("[gateway]\nmode = 'x'", "c.toml:2: gateway: Invalid enum value 'x'"),
        ("[gateway]\nhosts = ['a b']", "c.toml:2: gateway_hosts: 'a b' has no host name"),
        ("[gateway]\nhold = 1", "c.toml:2: hold: Expected `str`, got `int`"),
        ("[gateway]\nhost = []", "c.toml:2: gateway.host: there is no such setting, but mode,"),
        ("host_ports = [0]", "c.toml:1: host_ports: '0': write a port, or two as in 8000-8010"),
        ("host_ports = ['9-8']", "c.toml:1: host_ports: '9-8': write a port"),
        ("host_ports = [[9, 8, 'x']]", "c.toml:1: host_ports: '9-8': write a port"),
        ("host_ports = [true]", "c.toml:1: host_ports: Expected"),
        ("ports = [0]", "c.toml:1: ports: Expected `int` >= 1"),
        ("share = ['docker', 'x']", "c.toml:1: share: Invalid enum value 'x', not one of session"),
        ("home = 'none'", "c.toml:1: home: Invalid enum value 'none'"),
        ("strict = 1", "c.toml:1: strict: Expected `bool`, got `int`"),
        ("keepidle = \n", "c.toml: Invalid value (at line 1, column 12)"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_line_and_key(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_toml(text, "c.toml")
    assert str(caught.value).startswith(message)


def test_a_mistake_in_the_environment_is_told_with_its_variable() -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_environment({"KEEPLINE_KEEPIDLE": "soon"})
    assert str(caught.value).startswith("KEEPLINE_KEEPIDLE: keepidle: Expected `int`")


def test_rules_by_name_need_synthetic_addresses() -> None:
    config.merge({"dns": "real", "allow": ("192.0.2.0/24",)})
    with pytest.raises(ConfigError, match="by name need dns = synthetic"):
        config.merge({"dns": "real", "deny": ("example.com",)})


def test_the_levels() -> None:
    words = config.from_words(
        {"strict": "true", "share": "x11,ssh-agent", "home": "private"}, lambda key: f"--{key}: "
    )
    settings = config.merge(words)
    assert settings == Settings(strict=True, share=("x11", "ssh-agent"), home="private")
    by_name = {setting.name: setting for setting in config.described()}
    assert (by_name["strict"].kind, by_name["share"].kind) == (bool, tuple)
    assert by_name["home"].choices == ("host", "private")


def test_a_private_home_is_not_promised_where_all_files_are_within_reach() -> None:
    config.merge({"share": ("docker",)})
    with pytest.raises(ConfigError, match="home = private needs strict"):
        config.merge({"home": "private"})


def test_ports_of_the_host_know_their_source() -> None:
    file = config.from_toml("\nhost_ports = [5432, '8000-8010', [1, 2, '--host-port']]", "c.toml")
    assert config.merge(file).opened_ports() == (
        PortRange(5432, 5432, "c.toml:2"),
        PortRange(8000, 8010, "c.toml:2"),
        PortRange(1, 2, "c.toml:2"),
    )
    environment = config.from_environment({"KEEPLINE_HOST_PORTS": "6379"})
    from_environment = (PortRange(6379, 6379, "KEEPLINE_HOST_PORTS"),)
    assert config.merge(file, environment).opened_ports() == from_environment
    flags = config.from_words({"host_ports": ""}, lambda key: f"--{key}: ")
    assert config.merge(file, environment, flags).opened_ports() == ()
    assert Settings(host_ports=(1,)).opened_ports() == (PortRange(1, 1),)
    assert {each.name: each.flag for each in config.described()}["host_ports"] == "--host-port"


def test_a_setting_that_is_on_has_a_flag_that_turns_it_off() -> None:
    (setting,) = (each for each in config.described() if each.name == "auto_ports")
    assert (setting.flag, setting.shown_default) == ("--no-auto-ports", "default: on")
    off = config.from_words({"auto_ports": "false"}, lambda key: f"--{key}: ")
    assert not config.merge(off).auto_ports


def test_the_file_of_a_project_opens_no_port_of_the_host() -> None:
    with pytest.raises(ConfigError, match="host_ports: the file of a project can only"):
        config.from_project("host_ports = [5432]", "p.toml")


@pytest.mark.parametrize(
    "rule", ["127.0.0.1:5432", "127.0.0.0/8", "0.0.0.0", "localhost", "*.localhost:80"]
)
def test_no_rule_opens_the_hosts_loopback(rule: str) -> None:
    with pytest.raises(ConfigError, match="no rule opens the host's: --host-port PORT"):
        config.from_toml(f"allow = ['{rule}']", "c.toml")
    assert config.from_toml(f"deny = ['{rule}']\nallow = ['notlocalhost', '0.0.0.0/0']", "c.toml")


def test_nameservers() -> None:
    assert config.parse_nameserver("192.0.2.53") == ("192.0.2.53", 53)
    assert config.parse_nameserver("192.0.2.53:5353") == ("192.0.2.53", 5353)


def test_every_setting_is_described() -> None:
    described = list(config.described())
    names = [setting.name for setting in described]
    assert [*names, "destination", "projects"] == list(Settings.__struct_fields__)
    assert all(setting.description for setting in described)
    by_name = {setting.name: setting for setting in described}
    assert by_name["keepidle"].shown_default == "default: 20"
    assert by_name["allow"].shown_default == "default: none"
    assert by_name["gateway_hosts"].shown_default == "default: api.anthropic.com"
    assert by_name["dns"].choices == ("synthetic", "real")


@pytest.mark.parametrize(
    ("read", "place"),
    [
        (lambda url: config.from_toml(f'# ours\nproxy = "{url}"\n', "c.toml"), "c.toml:2: "),
        (lambda url: config.from_environment({"KEEPLINE_PROXY": url}), "KEEPLINE_PROXY: "),
    ],
)
def test_the_url_of_a_proxy_is_read_where_it_stands(
    read: Callable[[str], dict[str, Any]], place: str
) -> None:
    assert read("http://me:secret@proxy:1")["proxy"] == "http://me:secret@proxy:1"
    with pytest.raises(ConfigError) as told:
        read("http://me:secret@proxy/wpad.dat")
    assert str(told.value).startswith(f"{place}proxy is a PAC file")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("settings", "are_wanted"),
    [
        (Settings(), True),
        (Settings(deny=("a.example",), private="deny"), True),
        (Settings(auto_ports=False), False),
        (Settings(strict=True), False),
        (Settings(allow=("a.example",)), False),
        (Settings(presets=("claude",)), False),
        (Settings(policy_mode="allowlist"), False),
    ],
)
def test_where_ports_are_open_by_themselves(settings: Settings, *, are_wanted: bool) -> None:
    assert settings.opens_ports_itself() == are_wanted


def test_a_preset_has_ports_of_the_host_and_is_a_list_all_the_same() -> None:
    settings = Settings(presets=("ollama",), host_ports=(8080,))
    ports = {(each.first, each.source) for each in settings.opened_ports()}
    assert ports == {(8080, ""), (11434, "preset ollama")}
    assert settings.policy().is_allowlist
    assert not Settings(presets=("ollama",), policy_mode="open").policy().is_allowlist
