"""What programs are told of the proxy, and what they are told no more."""

import pytest

from relay.inbound.proxy.secret import Secret
from relay.proxy.variables import changes, set_by, url

SECRET = Secret.of(b"0123456789abcdef")


def test_every_name_in_both_cases() -> None:
    told = set_by(3128, None)
    proxy = "http://127.0.0.1:3128"
    assert told == {
        "HTTP_PROXY": proxy,
        "HTTPS_PROXY": proxy,
        "ALL_PROXY": proxy,
        "NO_PROXY": "localhost,127.0.0.1,::1",
        "http_proxy": proxy,
        "https_proxy": proxy,
        "all_proxy": proxy,
        "no_proxy": "localhost,127.0.0.1,::1",
        "NODE_USE_ENV_PROXY": "1",
    }


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_the_url_has_the_token(scheme: str) -> None:
    assert url(1, SECRET, scheme) == f"{scheme}://keepline:{SECRET.token}@127.0.0.1:1"


def test_other_proxies_are_named_no_more() -> None:
    made = changes(1, SECRET, ["NPM_CONFIG_PROXY", "HTTPS_PROXY", "https_proxy", "HOME"])
    assert made["NPM_CONFIG_PROXY"] is None
    assert made["https_proxy"] == made["HTTPS_PROXY"] == url(1, SECRET)
    assert "HOME" not in made
