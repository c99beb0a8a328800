"""The words of `podman run` and `docker run`: which are options, and which of them cannot be; pure.

An option takes the next word for its value, unless it is one of those that take none. The first
word that is no option is the image, and all that follows is the command's.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from netns.errors import KeeplineError

_WITHOUT_VALUE: Final = frozenset(
    {"--detach", "--disable-content-trust", "--env-host", "--help", "--http-proxy", "--init"}
    | {"--interactive", "--no-healthcheck", "--no-hosts", "--no-hostname", "--oom-kill-disable"}
    | {"--passwd", "--privileged", "--publish-all", "--quiet", "--read-only", "--read-only-tmpfs"}
    | {"--replace", "--rm", "--rmi", "--rootfs", "--sig-proxy", "--tls-verify", "--tty"}
    | {"--unsetenv-all", "--use-api-socket"}
)
_SHORT_WITHOUT_VALUE: Final = "diPqt"
_FALSE: Final = frozenset({"0", "f", "F", "false", "False", "FALSE"})
"""What both engines take for no, ParseBool of Go's strconv."""

_OF_ITS_NAME: Final = frozenset({"--no-hosts", "--uts"})
"""With these, the container's name is not ours to put into its /etc/hosts."""

_SHORT: Final = {"-d": "--detach", "-h": "--hostname", "-P": "--publish-all", "-p": "--publish"}

_REFUSED: Final = {
    "--detach": "leave it out, and put the whole command into the background: the session is to"
    " last as long as the container",
    "--net": "leave it out: the network is keepline's",
    "--network": "leave it out: the network is keepline's",
    "--pod": "leave it out: a pod has a network of its own; see keepline sidecar",
    "--pod-id-file": "leave it out: a pod has a network of its own; see keepline sidecar",
    "--publish-all": "name the ports: --publish PORT:PORT",
}

_ITSELF: Final = "127.0.1.1"
"""The address of a container's own name, as Debian has it for a host's."""


class Run(NamedTuple):
    """What is to be run."""

    words: tuple[str, ...]
    """What follows `run`, but for what is published."""
    published: tuple[str, ...] = ()
    """As --publish has it."""
    hostname: str = ""
    """That of the container, if it was given."""
    has_hosts: bool = True
    """Whether an /etc/hosts is to be made, in which it may be."""

    def named(self, name: str) -> tuple[str, ...]:
        """Return the options by which the container knows its name, `name` if none was given.

        An engine has it in /etc/hosts with an address of the network that it has made. Here it has
        made none, and programs that look up what hostname(1) says would ask DNS.
        """
        if not self.has_hosts:
            return ()
        given = () if self.hostname else (f"--hostname={name}",)
        return (*given, f"--add-host={self.hostname or name}:{_ITSELF}")


def read(words: Sequence[str]) -> Run:
    """Read what follows `run`; raises KeeplineError for what contradicts a session's network."""
    kept, published, at = list[str](), list[str](), 0
    hostname, has_hosts = "", True
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        count, found = _option(words, at)
        for name, value in found:
            if name in _REFUSED:
                raise KeeplineError(f"{name} cannot be had here", _REFUSED[name])
            if name == "--publish":
                published.append(value)
            if name == "--hostname":
                hostname = value
            has_hosts = has_hosts and name not in _OF_ITS_NAME
        names = [name for name, _value in found]
        if "--publish" in names:
            kept += [name for name in names if name != "--publish"]  # letters before -p
        else:
            kept += words[at : at + count]
        at += count
        if words[at - count] == "--":
            break
    return Run((*kept, *words[at:]), tuple(published), hostname, has_hosts)


def _option(words: Sequence[str], at: int) -> tuple[int, list[tuple[str, str]]]:
    """Return how many words an option takes, and its names with their values."""
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        if name in _WITHOUT_VALUE:
            return 1, [] if value in _FALSE else [(name, value)]
        if equals or name == "--":
            return 1, [(name, value)]
        return 2, [(name, following)]
    names = list(_letters(word))
    last, attached = names.pop()
    found = [(_SHORT.get(name, name), "") for name, _value in names]
    if last[1] in _SHORT_WITHOUT_VALUE:
        return 1, [*found, (_SHORT.get(last, last), "")]
    return (1 if attached else 2), [*found, (_SHORT.get(last, last), attached or following)]


def _letters(word: str) -> Iterator[tuple[str, str]]:
    """Yield the options of letters in a word, and what the last of them has attached."""
    for place, letter in enumerate(word[1:], 1):
        if letter not in _SHORT_WITHOUT_VALUE:
            yield f"-{letter}", word[place + 1 :].removeprefix("=")
            return
        yield f"-{letter}", ""
