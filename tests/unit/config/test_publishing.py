"""What is to be reached from the host, as docker writes it; each mistake names the next step."""

import pytest

from relay.config import ConfigError, from_environment, from_project, from_toml, from_words, merge
from relay.config.publishing import AUTO, LOOPBACK, MOST, OFF, ON, Publication, parse, read


def words(text: str) -> str:
    return merge(from_words({"publish": text}, "--{}: ".format)).published().mode


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("8080", [(8080, 8080, LOOPBACK)]),
        ("8080:80", [(80, 8080, LOOPBACK)]),
        ("8080:80/tcp", [(80, 8080, LOOPBACK)]),
        ("localhost:8080", [(8080, 8080, LOOPBACK)]),
        ("127.0.0.1:8080:80", [(80, 8080, ("127.0.0.1",))]),
        ("[::1]:8080:80", [(80, 8080, ("::1",))]),
        ("[0:0::1]:8080", [(8080, 8080, ("::1",))]),
        ("0.0.0.0::80", [(80, 0, ("0.0.0.0",))]),
        ("65535", [(65535, 65535, LOOPBACK)]),
        ("8000-8001:9000-9001", [(9000, 8000, LOOPBACK), (9001, 8001, LOOPBACK)]),
        ("192.0.2.1:1-2", [(1, 1, ("192.0.2.1",)), (2, 2, ("192.0.2.1",))]),
    ],
)
def test_each_form(text: str, ports: list[Publication]) -> None:
    assert parse(text) == ports


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("8080/udp", "UDP does not come in; TCP does, which is 8080"),
        ("8080/sctp", "write PORT, PORT:PORT or ADDRESS:PORT:PORT"),
        ("", "write PORT"),
        (":80", "write PORT"),
        ("80:", "write PORT"),
        ("::80", "write PORT"),
        ("a", "write PORT"),
        ("1:2:3", "write PORT"),
        ("127.0.0.1", "write PORT"),
        ("[::1]", "write PORT"),
        ("0", "a number from 1 to 65535"),
        ("65536", "a number from 1 to 65535"),
        ("9-1", "a number from 1 to 65535"),
        ("1-2-3", "a number from 1 to 65535"),
        ("-1", "a number from 1 to 65535"),
        ("1-3:1-2", "the ranges differ in length, 3 and 2"),
        ("host:80:80", "host is no address of the host"),
        ("[fe80::1%eth0]:80:80", "is no address of the host"),
        ("[::g]:80:80", "is no address of the host"),
        ("1.2.3.400:80:80", "is no address of the host"),
        ("53", "keepline's own name server"),
        ("8053:53", "keepline's own name server"),
    ],
)
def test_each_mistake_has_a_next_step(text: str, step: str) -> None:
    with pytest.raises(ValueError, match=r"^'") as caught:
        parse(text)
    assert step in str(caught.value)


def test_words_stand_beside_ports() -> None:
    assert read([]) == (AUTO, ())
    assert read("off") == (OFF, ())
    assert read(["8080", "on"]) == (ON, (Publication(8080, 8080),))


def test_a_place_on_the_host_is_given_once() -> None:
    read(["8080:80", "127.0.0.1::80", "127.0.0.1::81", "192.0.2.1:8080:81"])
    with pytest.raises(ValueError, match="port 8080 of the host is asked for twice"):
        read(["8080:80", "[::1]:8080:81"])
    with pytest.raises(ValueError, match=f"are more than the {MOST}"):
        read(["1000-2000"])


def test_every_source_says_it() -> None:
    assert words("off") == OFF
    assert words("8080,on") == ON
    assert words("8080") == AUTO
    assert merge().published() == (AUTO, ())
    for text in ('publish = "off"', 'publish = ["off", "80:80"]'):
        assert merge(from_toml(text, "/c")).published().mode == OFF
    assert merge(from_environment({"KEEPLINE_PUBLISH": "off"})).published().mode == OFF
    with pytest.raises(ConfigError, match=r"^--publish: publish: '1/udp': UDP does not come in"):
        words("1/udp")


def test_a_project_only_turns_it_off() -> None:
    project = from_project('publish = "off"', "/p/.keepline.toml")
    settings = merge(from_words({"publish": "on,8080"}, str), projects=[project])
    assert settings.published() == (OFF, (Publication(8080, 8080),))
    for text in ('publish = "on"', "publish = []", 'publish = ["8080"]'):
        with pytest.raises(ConfigError, match="can only tighten"):
            from_project(text, "/p/.keepline.toml")
