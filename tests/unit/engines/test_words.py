"""Which words of `podman run` are options, and which of them contradict a session's network."""

import pytest

from netns.errors import KeeplineError
from relay.engines import words

KEPT = [
    ["image"],
    ["--rm", "-it", "image", "sh", "-c", "echo"],
    ["--rm=false", "-v", "/a:/b", "--env=A=B", "image", "curl", "-d", "x", "-p", "y"],
    ["-v/a:/b", "-itv", "/c:/d", "-e", "-d", "image"],
    ["--name", "--network", "image"],
    ["--detach=false", "-v=false", "--detach=0", "--publish-all=F", "image"],
    ["--", "image", "--network"],
    ["--rootfs", "/:O", "true", "--network=host"],
    ["-"],
    ["-v"],
    [],
]


@pytest.mark.parametrize("given", KEPT)
def test_what_is_no_matter_of_the_network_is_kept(given: list[str]) -> None:
    assert words.read(given)[:2] == (tuple(given), ())


def test_what_is_published_is_the_sessions() -> None:
    given = [
        "-p",
        "8080:80",
        "--rm",
        "--publish=127.0.0.1:90:90",
        "-itp5000:5000",
        "image",
        "-p",
        "1",
    ]
    assert words.read(given)[:2] == (
        ("--rm", "-i", "-t", "image", "-p", "1"),
        ("8080:80", "127.0.0.1:90:90", "5000:5000"),
    )


REFUSED = [
    *(["--network", "host"], ["--network=host"], ["--net=none"], ["--pod", "p"], ["--pod=p"]),
    *(["--pod-id-file", "p"], ["--pod-id-file=p"], ["--use-api-socket", "--network=host"]),
    *(["--network=false"], ["--pod=0"], ["--detach=1"]),
    *(["-d"], ["-itd"], ["--detach"], ["--detach=true"], ["-P"], ["-v", "/a", "--publish-all"]),
]


@pytest.mark.parametrize("given", REFUSED)
def test_what_contradicts_it_is_refused_with_what_to_do(given: list[str]) -> None:
    with pytest.raises(KeeplineError, match="cannot be had here") as caught:
        words.read([*given, "image"])
    assert caught.value.next_step


def test_a_container_knows_its_name() -> None:
    assert words.read(["image"]).named("abc") == ("--hostname=abc", "--add-host=abc:127.0.1.1")
    for given in (["-h", "own"], ["-ithown"], ["--hostname=own"], ["--hostname", "own"]):
        assert words.read([*given, "image"]).named("abc") == ("--add-host=own:127.0.1.1",)
    for given in (["--no-hosts"], ["--uts=host"]):
        assert words.read([*given, "image"]).named("abc") == ()
