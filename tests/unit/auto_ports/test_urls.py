"""Which texts lead to this machine, and to which port."""

import time

import pytest

from relay.auto_ports.urls import HOSTS, LONGEST, port_of, ports_within
from tests.support.pace import within

LEADING = [
    ("http://localhost:3000/mcp", 3000),
    ("HTTP://LOCALHOST:3000", 3000),
    ("http://localhost./", 80),
    ("https://app.localhost/x", 443),
    ("ws://127.0.0.1:1/", 1),
    ("http://127.8.9.10:65535?q", 65535),
    ("http://[::1]:8080/", 8080),
    ("http://[::ffff:127.0.0.1]:8080", 8080),
    ("http://0.0.0.0:11434#f", 11434),
    ("http://host.docker.internal:4000", None),
    ("http://host.internal:4000/v1", 4000),
    ("postgresql+asyncpg://u:p@localhost/db", 5432),
    ("postgres://user:p%40ss@localhost:5433/db?sslmode=disable", 5433),
    ("redis://:secret@127.0.0.1", 6379),
    ("socks5h://localhost", 1080),
    (" localhost:3128 ", 3128),
    ("localhost:", None),
    ("localhost", None),
    ("http://localhost:0/", None),
    ("http://localhost:65536/", None),
    ("http://localhost:99999999/", None),
    ("gopher://localhost/", None),
    ("http://example.com:80/", None),
    ("http://localhost.example.com/", None),
    ("http://127.0.0.1.example.com/", None),
    ("http://10.0.0.1/", None),
    ("http://localhost@example.com/", None),
    ("http://example.com/localhost:80", None),
    ("http://127.1/", None),
    ("postgresql:///db?host=/run/postgresql", None),
    ("http://[::1/", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "port"), LEADING)
def test_where_it_leads(text: str, port: int | None) -> None:
    assert port_of(text) == port


@pytest.mark.parametrize("text", [text for text, port in LEADING if port is not None])
def test_what_leads_here_is_not_passed_over(text: str) -> None:
    assert any(host in text.lower() for host in HOSTS)


def test_without_a_scheme_there_may_be_a_default() -> None:
    assert port_of("localhost", 11434) == 11434
    assert port_of("localhost:1", 11434) == 1
    assert port_of("gopher://localhost", 11434) is None


def test_urls_within_an_argument() -> None:
    text = (
        "--a=http://localhost:1/x,jdbc:postgresql://127.0.0.1/d 'ws://[::1]:3' http://a.example:4"
    )
    assert list(ports_within(text)) == [1, 5432, 3]
    assert list(ports_within("localhost:80 no url")) == []


def test_a_text_that_is_long_is_read_quickly() -> None:
    begin = time.process_time()
    for text in ("a" * LONGEST, "a://" * LONGEST, "http://" + "@" * LONGEST, ":" * LONGEST):
        assert list(ports_within(text)) == []
        assert port_of(text) is None
    assert within(time.process_time() - begin, 0.5)
