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
    ["--detach=false", "image"],
    ["--", "image", "--network"],
    ["--rootfs", "/:O", "true", "--network=host"],
    ["-"],
    ["-v"],
    [],
]


@pytest.mark.parametrize("given", KEPT)
def test_what_is_no_matter_of_the_network_is_kept(given: list[str]) -> None:
    assert words.read(given) == (tuple(given), ())


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
    assert words.read(given) == (
        ("--rm", "-i", "-t", "image", "-p", "1"),
        ("8080:80", "127.0.0.1:90:90", "5000:5000"),
    )


REFUSED = [
    *(["--network", "host"], ["--network=host"], ["--net=none"], ["--pod", "p"], ["--pod=p"]),
    *(["-d"], ["-itd"], ["--detach"], ["--detach=true"], ["-P"], ["-v", "/a", "--publish-all"]),
]


@pytest.mark.parametrize("given", REFUSED)
def test_what_contradicts_it_is_refused_with_what_to_do(given: list[str]) -> None:
    with pytest.raises(KeeplineError, match="cannot be had here") as caught:
        words.read([*given, "image"])
    assert caught.value.next_step
