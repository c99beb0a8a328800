"""The choice: on by default for claude alone; the user's base URL first."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import GatewayMode, Settings
from relay.gateway.dialects.anthropic import DIALECT as ANTHROPIC
from relay.gateway.setup.choice import (
    EXTRA,
    Disabled,
    Enabled,
    GatewayError,
    Origin,
    choose,
    needed,
    parse_base_url,
)

Gateway = Literal["auto", GatewayMode, "off"]

BASE_URL: Final = ANTHROPIC.base_url
API: Final = Origin("api.anthropic.com", 443, tls=True, prefix="")
OWN: Final = Origin("llm.example", 8443, tls=True, prefix="/a/b")
OWN_URL: Final = "https://LLM.example:8443/a/b/"
SECRET: Final = "s3cr3t"


def opened(
    gateway: Gateway = "auto",
    base: str | None = None,
    *,
    command: Sequence[str] = ("/usr/local/bin/claude", "-p"),
    openssl: bool = True,
    hosts: tuple[str, ...] = (API.host,),
    dns: Literal["synthetic", "real"] = "synthetic",
) -> Enabled | Disabled:
    environment = {} if base is None else {BASE_URL: base}
    settings = Settings(gateway=gateway, gateway_hosts=hosts, dns=dns)
    return choose(settings, command, environment, has_openssl=lambda: openssl)


@pytest.mark.parametrize("command", ["claude", "./claude", "/opt/a b/claude"])
def test_auto_is_on_for_claude(command: str) -> None:
    assert opened(command=[command]) == Enabled("tls", (API,), "the command is claude")


@pytest.mark.parametrize("command", [["bash", "claude"], ["claude.sh"], ["claude/x"], [""], []])
def test_auto_is_off_for_others(command: list[str]) -> None:
    assert opened(command=command) == Disabled("the command is not claude")


@pytest.mark.parametrize("mode", ["tls", "http"])
def test_asked_for_by_name_it_is_on_for_any_command(mode: Gateway) -> None:
    assert opened(mode, command=["bash"]) == Enabled(mode, (API,), f"gateway = {mode}")  # type: ignore[arg-type]


def test_off_is_off() -> None:
    assert opened("off", base="not read") == Disabled("gateway = off")


LACKS: Final = [({"openssl": False}, "openssl"), ({"dns": "real"}, "dns = synthetic")]


@pytest.mark.parametrize(("lack", "named"), LACKS)
def test_auto_takes_plain_http_where_tls_cannot_be(lack: dict[str, Any], named: str) -> None:
    chosen = opened(**lack)
    assert isinstance(chosen, Enabled)
    assert (chosen.mode, chosen.origins) == ("http", (API,))
    assert named in chosen.why
    assert "\n" not in chosen.why


@pytest.mark.parametrize(("lack", "named"), LACKS)
def test_tls_by_name_is_refused_where_it_cannot_be(lack: dict[str, Any], named: str) -> None:
    with pytest.raises(GatewayError, match=named) as caught:
        opened("tls", **lack)
    assert "--gateway=http" in caught.value.next_step


@pytest.mark.parametrize("lack", [lack for lack, _named in LACKS])
def test_http_by_name_lacks_nothing(lack: dict[str, Any]) -> None:
    assert opened("http", **lack) == Enabled("http", (API,), "gateway = http")


def test_the_users_own_base_url_comes_first() -> None:
    tls, http = opened(base=OWN_URL), opened("http", base=OWN_URL)
    assert isinstance(tls, Enabled)
    assert isinstance(http, Enabled)
    assert tls.origins == (OWN, API)
    assert http.origins == (OWN,)
    assert tls.base == http.base == OWN


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_base_url_is_none(blank: str) -> None:
    assert opened(base=blank) == opened()


def test_what_the_program_is_told() -> None:
    told = opened("http", base=OWN_URL)
    assert isinstance(told, Enabled)
    assert told.environment(4711) == {BASE_URL: "http://127.0.0.1:4711/a/b"}
    not_told = opened("tls", base=OWN_URL)
    assert isinstance(not_told, Enabled)
    assert not_told.environment(4711) == {}


@pytest.mark.parametrize(
    ("host", "name"), [("192.0.2.7", None), (API.host, API.host), ("1.example", "1.example")]
)
def test_an_address_is_no_name_to_look_up(host: str, name: str | None) -> None:
    assert Origin(host, 443, tls=True, prefix="").destination.name == name


def test_hosts_that_need_a_certificate() -> None:
    chosen = opened(
        base="http://llm.example", hosts=("a.example", "b.example:8443", "A.example.:1")
    )
    assert isinstance(chosen, Enabled)
    assert chosen.certificate_hosts == ("a.example", "b.example")
    plain = opened("http")
    assert isinstance(plain, Enabled)
    assert plain.certificate_hosts == ()


def test_a_connection_finds_its_origin() -> None:
    chosen = opened(base=OWN_URL, hosts=("api.anthropic.com", "192.0.2.1"))
    assert isinstance(chosen, Enabled)
    assert chosen.origin_at("LLM.example.", 8443) == OWN
    assert chosen.origin_at("llm.example", 443) is None
    assert chosen.origin_at("api.anthropic.com", 443) == API
    assert chosen.origin_at("192.0.2.1", 443) == Origin("192.0.2.1", 443, tls=True, prefix="")
    assert chosen.origin_at("x.api.anthropic.com", 443) is None
    plain = opened("http")
    assert isinstance(plain, Enabled)
    assert plain.origin_at(API.host, API.port) is None


def test_the_base_url_wins_over_a_configured_host() -> None:
    url = "http://api.anthropic.com:443/x"
    chosen = opened(base=url, hosts=("api.anthropic.com", "api.anthropic.com:443"))
    assert isinstance(chosen, Enabled)
    assert chosen.origins == (Origin("api.anthropic.com", 443, tls=False, prefix="/x"),)


def test_without_any_host() -> None:
    assert opened(hosts=()) == Disabled("the gateway has no host")
    with pytest.raises(GatewayError, match="has no host"):
        opened("http", hosts=())
    assert opened("tls", hosts=(), base=OWN_URL) == Enabled("tls", (OWN,), "gateway = tls")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://llm.example", Origin("llm.example", 443, tls=True, prefix="")),
        ("https://llm.example/", Origin("llm.example", 443, tls=True, prefix="")),
        ("https://llm.example//", Origin("llm.example", 443, tls=True, prefix="/")),
        ("HTTP://Llm.Example.", Origin("llm.example", 80, tls=False, prefix="")),
        ("http://192.0.2.1:8080/x%20y", Origin("192.0.2.1", 8080, tls=False, prefix="/x%20y")),
        ("https://proxy/a.b/..c", Origin("proxy", 443, tls=True, prefix="/a.b/..c")),
        ("https://a_b.example:1/", Origin("a_b.example", 1, tls=True, prefix="")),
        ("https://xn--bcher-kva.example", Origin("xn--bcher-kva.example", 443, True, "")),
        (f" {OWN_URL}\n", OWN),
    ],
)
def test_base_urls(text: str, origin: Origin) -> None:
    assert opened("http", base=text) == Enabled("http", (origin,), "gateway = http")


BAD: Final = [
    ("garbage-s3cr3t", "begins with neither"),
    ("api.anthropic.com", "begins with neither"),
    ("https:/s3cr3t.example", "begins with neither"),
    ("ftp://s3cr3t.example", "begins with neither"),
    ("https://u:s3cr3t@llm.example", "has a user or a password"),
    ("https://llm.example/?key=s3cr3t", "has a query"),
    ("https://llm.example/#s3cr3t", "has a query or a fragment"),
    ("https://[2001:db8::1]/s3cr3t", "IPv6"),
    ("https://2001:db8::1/s3cr3t", "IPv6"),
    ("https://", "has no host"),
    ("https:///s3cr3t", "has no host"),
    ("https://.", "has no host"),
    ("https://a..example", "has no host"),
    ("https://-a.example", "has no host"),
    ("https://*.example", "has no host"),
    ("https://b\u00fccher.example", "has no host"),
    ("https://\u212aa.example", "has no host"),
    ("https://a b.example", "has no host"),
    ("https://a\\b.example", "has no host"),
    (f"https://{'a.' * 126}aa", "has no host"),
    (f"https://{'a' * 64}.example", "has no host"),
    ("https://llm.example:", "port"),
    ("https://llm.example:0", "port"),
    ("https://llm.example:65536", "port"),
    ("https://llm.example:1_0", "port"),
    ("https://llm.example:\u00b2", "port"),
    ("https://127.1", "four decimal"),
    ("https://0x7f000001", "four decimal"),
    ("https://2130706433", "four decimal"),
    ("https://127.0.0.01", "four decimal"),
    ("https://192.0.2.256", "four decimal"),
    ("https://llm.example.0x", "four decimal"),
    ("https://llm.example/a/../s3cr3t", "path"),
    ("https://llm.example/%2E./s3cr3t", "path"),
    ("https://llm.example/./s3cr3t", "path"),
    ("https://llm.example/s3cr3t\\", "path"),
    ("https://llm.example/s3cr3t x", "path"),
    ("http://127.0.0.1:8080/s3cr3t", "loopback"),
    ("http://127.255.1.2", "loopback"),
    ("http://0.0.0.0", "loopback"),
    ("http://localhost:3000", "loopback"),
    ("http://LocalHost.", "loopback"),
    ("http://a.localhost", "loopback"),
]


@pytest.mark.parametrize(("text", "reason"), BAD)
def test_a_base_url_that_cannot_be_used_disables_auto_and_is_an_error_by_name(
    text: str, reason: str
) -> None:
    disabled = opened(base=text)
    assert isinstance(disabled, Disabled)
    assert disabled.why.startswith(f"{BASE_URL} ")
    assert reason in disabled.why
    assert SECRET not in disabled.why
    for gateway in ("tls", "http"):
        with pytest.raises(GatewayError) as caught:
            opened(gateway, base=text)
        assert caught.value.cause == disabled.why
        assert BASE_URL in caught.value.next_step


@given(st.text() | st.from_regex(r"https?://[a-z0-9.:@%/-]*", fullmatch=True))
def test_any_base_url_is_read_or_told(text: str) -> None:
    try:
        origin = parse_base_url(text)
    except ValueError:
        return
    scheme = "https" if origin.tls else "http"
    url = f"{scheme}://{origin.host}:{origin.port}{origin.prefix}"
    assert parse_base_url(f"{url}/") == origin


def test_a_default_port_is_left_out_of_the_authority() -> None:
    assert API.authority == "api.anthropic.com"
    assert OWN.authority == "llm.example:8443"
    assert Origin("a.example", 80, tls=False, prefix="").authority == "a.example"
    assert Origin("a.example", 443, tls=False, prefix="").authority == "a.example:443"


# What runs it


def test_what_runs_it_is_told() -> None:
    assert opened(command=["env", "X=1", "claude"]) == Enabled("tls", (API,), "env runs claude")


def test_a_base_url_that_it_is_given_on_the_way_counts() -> None:
    own = Enabled("tls", (OWN, API), "env runs claude")
    assert opened(command=["env", f"{BASE_URL}={OWN_URL}", "claude"]) == own
    unknown = opened(command=["sh", "-c", f'{BASE_URL}="$OTHER" claude'])
    assert unknown == Enabled("tls", (API,), "sh runs claude")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["env", "-i", "claude"], "env runs claude, but env -i clears its environment"),
        (["sudo", "claude"], "sudo runs claude, but sudo gives it another environment"),
        (
            ["env", f"{EXTRA}=/x", "claude"],
            f"env runs claude, but it is given a {EXTRA} of its own",
        ),
    ],
)
def test_it_is_off_where_the_variables_do_not_reach_it(command: list[str], why: str) -> None:
    found = opened(command=command)
    assert found == Disabled(why)
    assert isinstance(found, Disabled)
    assert found.program == "claude"
    assert isinstance(opened("tls", command=command), Enabled), "asked for by name"


def test_over_http_it_is_the_base_url_that_has_to_reach_it() -> None:
    own = opened(command=["env", f"{BASE_URL}={OWN_URL}", "claude"], openssl=False)
    assert own == Disabled(f"env runs claude, but it is given a {BASE_URL} of its own")


@pytest.mark.parametrize(
    ("command", "base", "found"),
    [
        (["nice", "claude"], None, ("claude", API.destination)),
        (["claude"], OWN_URL, ("claude", OWN.destination)),
        (["claude"], "nonsense", None),
        (["true"], None, None),
    ],
)
def test_what_an_agent_needs(
    command: list[str], base: str | None, found: tuple[str, object] | None
) -> None:
    environment = {} if base is None else {BASE_URL: base}
    assert needed(Settings(gateway="off"), command, environment, lambda _word: None) == found
