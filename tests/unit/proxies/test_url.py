"""URLs of proxies: what each part means, and what each mistake says, never with the password."""

import pytest

from relay.addresses import Destination
from relay.proxies.url import Credentials, Proxy, credentials, parse


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.corp:3128", Proxy("http", "proxy.corp", 3128)),
        ("http://proxy.corp:3128/", Proxy("http", "proxy.corp", 3128)),
        (" HTTP://Proxy.Corp. ", Proxy("http", "proxy.corp", 80)),
        ("proxy:8080", Proxy("http", "proxy", 8080)),
        ("127.0.0.1:3128", Proxy("http", "127.0.0.1", 3128)),
        ("http://127.1:3128", Proxy("http", "127.0.0.1", 3128)),
        ("http://proxy:", Proxy("http", "proxy", 80)),
        ("socks5://10.0.0.1", Proxy("socks5", "10.0.0.1", 1080)),
        ("socks5h://localhost:9050", Proxy("socks5", "localhost", 9050)),
    ],
)
def test_it_is_read(text: str, proxy: Proxy) -> None:
    assert parse(text) == proxy
    assert proxy.destination == Destination(proxy.host, proxy.port)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("http://me:secret@proxy:1", Credentials(b"me", b"secret")),
        ("http://me@proxy:1", Credentials(b"me", b"")),
        ("http://:@proxy:1", Credentials(b"", b"")),
        ("http://corp%5Cme:p%40s%3as%2Fw%@proxy:1", Credentials(rb"corp\me", b"p@s:s/w%")),
        ("http://me:p@ss@proxy:1", Credentials(b"me", b"p@ss")),
        ("http://me:a:b@proxy:1", Credentials(b"me", b"a:b")),
        ("http://me:schl%C3%BCssel@proxy:1", Credentials(b"me", "schlüssel".encode())),
        ("http://me:schlüssel@proxy:1", Credentials(b"me", "schlüssel".encode())),
        ("socks5://me:pw@proxy", Credentials(b"me", b"pw")),
    ],
)
def test_credentials_are_decoded(text: str, known: Credentials) -> None:
    assert parse(text).credentials == known


def test_credentials_are_not_shown() -> None:
    proxy = parse("http://me:secret@proxy:1")
    assert str(proxy) == "http://proxy:1"
    assert "secret" not in repr(proxy)


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "has no host"),
        ("http://", "has no host"),
        ("http://me:secret@", "has no host"),
        ("http://a b:1", "has no host"),
        ("http://" + "a" * 254, "has no host"),
        ("http://proxy:0", "no number from 1"),
        ("http://proxy:secret", "no number from 1"),
        ("http://[::1]:3128", "IPv6"),
        ("http://fe80::1", "IPv6"),
        ("socks4://proxy", "none of"),
        ("ftp://me:secret@proxy", "none of"),
        ("http://proxy/secret", "has a path"),
        ("http://wpad/wpad.dat", "PAC file"),
        ("http://proxy/proxy.PAC?secret", "PAC file"),
        ("pac+http://proxy", "PAC file"),
        ("http://me%3Asecret:x@proxy", "a colon in its user"),
        ("socks5://me@proxy", "SOCKS5 cannot carry"),
        ("socks5://me:" + "secret" * 50 + "@proxy", "SOCKS5 cannot carry"),
        ("socks5://me:schlüsselsecret@proxy", "SOCKS5 cannot carry"),
    ],
)
def test_a_mistake_is_told(text: str, mistake: str) -> None:
    with pytest.raises(ValueError, match=mistake) as told:
        parse(text)
    assert "secret" not in str(told.value)


def test_credentials_from_elsewhere_are_checked_alike() -> None:
    assert credentials("http", b"me", b"") == Credentials(b"me", b"")
    with pytest.raises(ValueError, match="a colon"):
        credentials("http", b"a:b", b"")
