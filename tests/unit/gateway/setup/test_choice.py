"""Doors: by itself on for claude alone; the user's base URL first; what may be asked again."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gateway.setup.choice import (
    BASE_URL,
    Closed,
    DoorError,
    Doors,
    Gateway,
    Upstream,
    choose,
    is_messages,
    listed,
    parse_base_url,
)

API: Final = Upstream("api.anthropic.com", 443, tls=True, prefix="")
OWN: Final = Upstream("llm.example", 8443, tls=True, prefix="/a/b")
OWN_URL: Final = "https://LLM.example:8443/a/b/"
SECRET: Final = "s3cr3t"


def opened(gateway: Gateway = "auto", base: str | None = None, **others: Any) -> Doors | Closed:
    environment = {} if base is None else {BASE_URL: base}
    asked: dict[str, Any] = {
        "hosts": (API.host,),
        "command": ("/usr/local/bin/claude", "-p"),
        "dns": "synthetic",
        "openssl": True,
    } | others
    return choose(gateway, environment=environment, **asked)


@pytest.mark.parametrize("command", ["claude", "./claude", "/opt/a b/claude"])
def test_auto_is_on_for_claude(command: str) -> None:
    assert opened(command=[command]) == Doors("tls", (API,), "the command is claude")


@pytest.mark.parametrize("command", [["bash", "claude"], ["claude.sh"], ["claude/x"], [""], []])
def test_auto_is_off_for_others(command: list[str]) -> None:
    assert opened(command=command) == Closed("the command is not claude")


@pytest.mark.parametrize("door", ["tls", "http"])
def test_asked_for_by_name_it_is_on_for_any_command(door: Gateway) -> None:
    assert opened(door, command=["bash"]) == Doors(door, (API,), f"gateway = {door}")  # type: ignore[arg-type]


def test_off_is_off() -> None:
    assert opened("off", hosts=["not read:"], base="nor this") == Closed("gateway = off")


LACKS: Final = [({"openssl": False}, "openssl"), ({"dns": "real"}, "dns = synthetic")]


@pytest.mark.parametrize(("lack", "named"), LACKS)
def test_auto_takes_plain_http_where_tls_cannot_be(lack: dict[str, Any], named: str) -> None:
    doors = opened(**lack)
    assert isinstance(doors, Doors)
    assert (doors.door, doors.upstreams) == ("http", (API,))
    assert named in doors.why
    assert "\n" not in doors.why


@pytest.mark.parametrize(("lack", "named"), LACKS)
def test_tls_by_name_is_refused_where_it_cannot_be(lack: dict[str, Any], named: str) -> None:
    with pytest.raises(DoorError, match=named) as caught:
        opened("tls", **lack)
    assert "--gateway=http" in caught.value.next_step


@pytest.mark.parametrize("lack", [lack for lack, _named in LACKS])
def test_http_by_name_lacks_nothing(lack: dict[str, Any]) -> None:
    assert opened("http", **lack) == Doors("http", (API,), "gateway = http")


def test_the_users_own_base_url_comes_first() -> None:
    tls, http = opened(base=OWN_URL), opened("http", base=OWN_URL)
    assert isinstance(tls, Doors)
    assert isinstance(http, Doors)
    assert tls.upstreams == (OWN, API)
    assert http.upstreams == (OWN,)
    assert tls.base == http.base == OWN


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_base_url_is_none(blank: str) -> None:
    assert opened(base=blank) == opened()


def test_what_the_program_is_told() -> None:
    told = opened("http", base=OWN_URL)
    assert isinstance(told, Doors)
    assert told.environment(4711) == {BASE_URL: "http://127.0.0.1:4711/a/b"}
    not_told = opened("tls", base=OWN_URL)
    assert isinstance(not_told, Doors)
    assert not_told.environment(4711) == {}


@pytest.mark.parametrize(
    ("host", "name"), [("192.0.2.7", None), (API.host, API.host), ("1.example", "1.example")]
)
def test_an_address_is_no_name_to_look_up(host: str, name: str | None) -> None:
    assert Upstream(host, 443, tls=True, prefix="").name == name


def test_hosts_that_need_a_certificate() -> None:
    doors = opened(base="http://llm.example", hosts=["a.example", "b.example:8443", "A.example.:1"])
    assert isinstance(doors, Doors)
    assert doors.certificate_hosts == ("a.example", "b.example")
    plain = opened("http")
    assert isinstance(plain, Doors)
    assert plain.certificate_hosts == ()


def test_a_connection_finds_its_upstream() -> None:
    doors = opened(base=OWN_URL, hosts=["api.anthropic.com", "192.0.2.1"])
    assert isinstance(doors, Doors)
    assert doors.upstream_at("LLM.example.", 8443) == OWN
    assert doors.upstream_at("llm.example", 443) is None
    assert doors.upstream_at("api.anthropic.com", 443) == API
    assert doors.upstream_at("192.0.2.1", 443) == Upstream("192.0.2.1", 443, tls=True, prefix="")
    assert doors.upstream_at("x.api.anthropic.com", 443) is None
    plain = opened("http")
    assert isinstance(plain, Doors)
    assert plain.upstream_at(API.host, API.port) is None


def test_the_base_url_wins_over_a_configured_host() -> None:
    url = "http://api.anthropic.com:443/x"
    doors = opened(base=url, hosts=["api.anthropic.com", "api.anthropic.com:443"])
    assert isinstance(doors, Doors)
    assert doors.upstreams == (Upstream("api.anthropic.com", 443, tls=False, prefix="/x"),)


def test_without_any_host() -> None:
    assert opened(hosts=()) == Closed("the gateway has no host")
    with pytest.raises(DoorError, match="has no host"):
        opened("http", hosts=())
    assert opened("tls", hosts=(), base=OWN_URL) == Doors("tls", (OWN,), "gateway = tls")


@pytest.mark.parametrize("gateway", ["auto", "tls", "http"])
def test_a_configured_host_that_cannot_be_read_is_told(gateway: Gateway) -> None:
    with pytest.raises(DoorError, match="'a b'") as caught:
        opened(gateway, hosts=["a b"])
    assert "config.toml" in caught.value.next_step
    assert str(caught.value) == caught.value.cause


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("https://llm.example", Upstream("llm.example", 443, tls=True, prefix="")),
        ("https://llm.example/", Upstream("llm.example", 443, tls=True, prefix="")),
        ("https://llm.example//", Upstream("llm.example", 443, tls=True, prefix="/")),
        ("HTTP://Llm.Example.", Upstream("llm.example", 80, tls=False, prefix="")),
        ("http://192.0.2.1:8080/x%20y", Upstream("192.0.2.1", 8080, tls=False, prefix="/x%20y")),
        ("https://proxy/a.b/..c", Upstream("proxy", 443, tls=True, prefix="/a.b/..c")),
        ("https://a_b.example:1/", Upstream("a_b.example", 1, tls=True, prefix="")),
        ("https://xn--bcher-kva.example", Upstream("xn--bcher-kva.example", 443, True, "")),
        (f" {OWN_URL}\n", OWN),
    ],
)
def test_base_urls(text: str, upstream: Upstream) -> None:
    assert opened("http", base=text) == Doors("http", (upstream,), "gateway = http")


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
def test_a_base_url_that_cannot_be_used_closes_auto_and_is_an_error_by_name(
    text: str, reason: str
) -> None:
    closed = opened(base=text)
    assert isinstance(closed, Closed)
    assert closed.why.startswith(f"{BASE_URL} ")
    assert reason in closed.why
    assert SECRET not in closed.why
    for gateway in ("tls", "http"):
        with pytest.raises(DoorError) as caught:
            opened(gateway, base=text)
        assert caught.value.cause == closed.why
        assert BASE_URL in caught.value.next_step


@given(st.text() | st.from_regex(r"https?://[a-z0-9.:@%/-]*", fullmatch=True))
def test_any_base_url_is_read_or_told(text: str) -> None:
    try:
        upstream = parse_base_url(text)
    except ValueError:
        return
    scheme = "https" if upstream.tls else "http"
    url = f"{scheme}://{upstream.host}:{upstream.port}{upstream.prefix}"
    assert parse_base_url(f"{url}/") == upstream


@pytest.mark.parametrize(
    ("method", "path", "prefix", "is_listed", "of_messages"),
    [
        ("POST", "/v1/messages", "", True, True),
        ("POST", "/v1/messages?beta=true", "", True, True),
        ("POST", "/v1/messages?", "", True, True),
        ("POST", "/v1/messages/count_tokens?beta=true", "", True, False),
        ("POST", "/a/b/v1/messages", "/a/b", True, True),
        ("POST", "/v1/messages", "/a/b", False, False),
        ("POST", "/a/b/v1/messages", "", False, False),
        ("POST", "/v1/messages/", "", False, False),
        ("POST", "//v1/messages", "", False, False),
        ("POST", "/v1/./messages", "", False, False),
        ("POST", "/v1/%6dessages", "", False, False),
        ("POST", "/V1/messages", "", False, False),
        ("POST", "/v1/messages#x", "", False, False),
        ("POST", "/v1/messages/batches", "", False, False),
        ("POST", "/v1/complete", "", False, False),
        ("POST", "http://api.anthropic.com/v1/messages", "", False, False),
        ("POST", "", "", False, False),
        ("post", "/v1/messages", "", False, False),
        ("PUT", "/v1/messages", "", False, False),
        ("DELETE", "/v1/messages", "", False, False),
        ("OPTIONS", "*", "", False, False),
        ("GET", "/v1/models", "", True, False),
        ("GET", "/v1/messages", "/a", True, False),
        ("HEAD", "/", "", True, False),
        ("get", "/", "", False, False),
    ],
)
def test_what_may_be_asked_again(
    method: str, path: str, prefix: str, is_listed: bool, of_messages: bool
) -> None:
    assert listed(method, path, prefix) is is_listed
    assert is_messages(method, path, prefix) is of_messages


@given(st.text(), st.text(alphabet="/v1mesag?%.# "))
def test_of_posts_exactly_the_listed_paths(prefix: str, path: str) -> None:
    bare = path.partition("?")[0]
    exact = bare in (f"{prefix}/v1/messages", f"{prefix}/v1/messages/count_tokens")
    assert listed("POST", path, prefix) is exact
