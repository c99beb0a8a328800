"""resolv.conf as glibc reads it, and as the namespace gets it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.host.resolv_conf import WAIT, Options, for_namespace, parse


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 192.0.2.1\nnameserver 192.0.2.2\n", ("192.0.2.1", "192.0.2.2")),
        ("nameserver\t192.0.2.1", ("192.0.2.1",)),
        ("nameserver  \t 192.0.2.1 # the router\n", ("192.0.2.1",)),
        ("nameserver 2001:db8::1\nnameserver 192.0.2.1\n", ("192.0.2.1",)),
        ("nameserver fe80::1%eth0\nnameserver 192.0.2.1\n", ("192.0.2.1",)),
        ("nameserver 2001:db8::1\n", ()),
        ("nameserver fe80::1%eth0\n", ()),
        ("", ("127.0.0.1",)),
        ("search example.com\n", ("127.0.0.1",)),
        ("#nameserver 192.0.2.9\n;nameserver 192.0.2.9\n", ("127.0.0.1",)),
        (" nameserver 192.0.2.9\n", ("127.0.0.1",)),
        ("nameserver192.0.2.9\nnameservers 192.0.2.9\n", ("127.0.0.1",)),
        ("nameserver\nnameserver \nnameserver example.com\n", ("127.0.0.1",)),
        ("nameserver 192.0.2.1\r\n", ("127.0.0.1",)),
        ("nameserver 127.53\nnameserver 0x7f.1\n", ("127.0.0.53", "127.0.0.1")),
        ("nameserver 192.0.2.1x\nnameserver 192.0.2.1;#\n", ("127.0.0.1",)),
        ("\0\x7f\nnonsense\nnameserver 192.0.2.1\n", ("192.0.2.1",)),
    ],
)
def test_parse(text: str, servers: tuple[str, ...]) -> None:
    assert parse(text).servers == servers


def test_three_servers_at_most_and_ipv6_takes_no_place() -> None:
    text = "".join(
        f"nameserver {address}\n"
        for address in ["::1", "::2", "::3", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]
    )
    assert parse(text).servers == ("192.0.2.1", "192.0.2.2", "192.0.2.3")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", Options(timeout=5, attempts=2, rotate=False, use_vc=False)),
        ("options rotate\noptions\tuse-vc  timeout:3\n", Options(3, 2, rotate=True, use_vc=True)),
        ("options timeout:1 attempts:1 timeout:2x\n", Options(2, 1)),
        ("options timeout:99 attempts:9\n", Options(30, 5)),
        ("options timeout:0 attempts:\n", Options(1, 1)),
        ("#options rotate\n options rotate\noptionsrotate\n;options use-vc\n", Options()),
        ("search options rotate\noptions ndots:2 no-aaaa edns0 # rotate\n", Options(rotate=True)),
    ],
)
def test_options(text: str, options: Options) -> None:
    """As glibc 2.36 reads them: of a comment at a line's end it knows nothing."""
    assert parse(text).options == options


ALONE = "timeout:50 attempts:10"
"""musl asks every 5 s, when it would end alone without options."""


@pytest.mark.parametrize(
    ("text", "expected", "times"),
    [
        ("", "nameserver 198.18.0.1\n", ALONE),
        ("nameserver 192.0.2.1\n", "nameserver 198.18.0.1\n", ALONE),
        (
            "# by hand\ndomain a.example\nnameserver ::1\nnameserver 192.0.2.1\nsearch b.example\n",
            "# by hand\ndomain a.example\nnameserver 198.18.0.1\nsearch b.example\n",
            ALONE,
        ),
        (" nameserver 192.0.2.1", "nameserver 198.18.0.1\n", ALONE),
        ("sortlist 10.0.0.0\n", "nameserver 198.18.0.1\nsortlist 10.0.0.0\n", ALONE),
        (
            "nameserver 192.0.2.1\noptions rotate ndots:2 inet6 edns0 trust-ad timeout:1\n",
            "nameserver 198.18.0.1\noptions ndots:2 edns0 trust-ad\n",
            "timeout:10 attempts:10",
        ),
        (
            "options  use-vc   attempts:3\n",
            "nameserver 198.18.0.1\noptions use-vc\n",
            ALONE,
        ),
        (
            "options timeout:1 timeout:4\noptions timeout:x attempts:\n",
            "nameserver 198.18.0.1\n",
            "timeout:10 attempts:10",
        ),
        ("options timeout:20\n", "nameserver 198.18.0.1\n", "timeout:60 attempts:3"),
        ("options timeout:99\n", "nameserver 198.18.0.1\n", "timeout:60 attempts:1"),
        ("options timeout:0\n", "nameserver 198.18.0.1\n", "timeout:10 attempts:10"),
        ("options rotate\nsearch x\n", "nameserver 198.18.0.1\nsearch x\n", ALONE),
    ],
)
def test_for_namespace(text: str, expected: str, times: str) -> None:
    assert for_namespace(text, "198.18.0.1") == f"{expected}options {times} {WAIT}\n"


@given(st.text(alphabet="nameserver optis:#;%.\t\n1", max_size=80) | st.text(max_size=80))
def test_any_text_ends_with_one_name_server(text: str) -> None:
    parse(text)
    result = for_namespace(text, "198.18.0.1")
    assert parse(result).servers == ("198.18.0.1",)
    assert for_namespace(result, "198.18.0.1") == result
