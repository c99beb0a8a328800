from typing import Any

import pytest

from netns.errors import SandboxError
from netns.plan import Plan
from netns.private import lists
from netns.private.shares import Caller
from netns.private.tree import Empty, Folder, Link


def caller(home: str = "/home/me", folder: str = "/work", **environment: Any) -> Caller:
    return Caller(7, home, folder, environment, registered_home="/home/seven")


def private(who: Caller, *, home: bool = False) -> dict[str, int]:
    return {empty.path: empty.mode for empty in lists.private(who, home=home)}


def test_what_is_private() -> None:
    assert private(caller()) == {
        "/run": 0o755,
        "/var/run": 0o755,
        "/run/lock": 0o1777,
        "/run/user/7": 0o700,
        "/tmp": 0o1777,
        "/dev": 0o755,
        "/dev/shm": 0o1777,
    }


def test_the_folder_of_sockets_is_private_wherever_it_is() -> None:
    both = private(caller(XDG_RUNTIME_DIR="/mnt/runtime"))
    assert (both["/mnt/runtime"], both["/run/user/7"]) == (0o700, 0o700)
    assert "relative" not in private(caller(XDG_RUNTIME_DIR="relative"))


@pytest.mark.parametrize(
    ("environment", "asked"), [({}, False), ({"XDG_RUNTIME_DIR": "/run/user/7"}, True)]
)
def test_it_is_new_only_if_a_variable_names_it(environment: dict[str, str], asked: bool) -> None:
    """Programs that find it without one (gpg) keep their sockets there, and elsewhere without."""
    found = lists.private(caller(**environment), home=False)
    assert next(each for each in found if each.path == "/run/user/7").is_asked_for == asked


@pytest.mark.parametrize("folder", ["/", "/home", "/home/me"])
def test_but_not_where_it_has_the_home_folder_in_it(folder: str) -> None:
    assert folder not in private(caller(XDG_RUNTIME_DIR=folder))


def test_a_private_home_is_both_that_of_the_variable_and_the_registered_one() -> None:
    homes = set(private(caller(), home=True)) - set(private(caller()))
    assert homes == {"/home/me", "/home/seven"}


def test_what_is_new() -> None:
    made = list(lists.made(caller(TMPDIR="/tmp/of/mine", TMP="relative")))
    assert [step for step in made if isinstance(step, Folder)] == [Folder("/tmp/of/mine", 0o700)]
    assert Link("/dev/ptmx", "pts/ptmx") in made


def test_what_is_opened() -> None:
    plan = Plan(
        ["true"],
        files={"/etc/resolv.conf": ""},
        owned=["/etc/ssh/ssh_config"],
        owned_folders=["/etc/ssh/ssh_config.d"],
        environment={"NODE_EXTRA_CA_CERTS": "/tmp/s.pem", "KEEPLINE_SESSION": "s"},
        share=["ssh-agent"],
    )
    opened = set(lists.opened(plan, caller(SSH_AUTH_SOCK="/tmp/agent")))
    assert {"/etc/resolv.conf", "/etc/ssh/ssh_config", "/etc/ssh/ssh_config.d"} < opened
    assert {"/tmp/s.pem", "/tmp/agent", "/work", "/home/me", "/dev/null"} < opened
    assert "s" not in opened
    assert not {path for path in opened if path in ("/run", "/tmp", "/dev", "/run/dbus")}


def test_a_private_home_is_not_opened() -> None:
    plan = Plan(["true"], strict=True, private_home=True)
    assert "/home/me" not in set(lists.opened(plan, caller()))


def test_what_is_read_only() -> None:
    assert list(lists.read_only(caller())) == ["/home/me/.claude/ide"]
    assert list(lists.read_only(caller(home=""))) == []
    assert list(lists.read_only(caller(CLAUDE_CONFIG_DIR="/c"))) == ["/c/ide"]


def check(who: Caller, *paths: str, home: bool = False, exists: bool = True) -> None:
    lists.check(who, [Empty(path, 0o700, "1m", exists) for path in paths], home=home)


def test_an_ordinary_working_folder_is_in_order() -> None:
    check(caller(), "/tmp", "/run")
    check(caller(folder="/tmp/work"), "/tmp")
    check(caller(folder="/"), "/tmp")
    check(caller(), "/home/me", home=True)


@pytest.mark.parametrize(
    ("who", "paths", "cause"),
    [
        (caller(folder="/tmp"), ["/tmp"], "the working folder, /tmp, is private"),
        (caller(folder="/home/me"), ["/home/me"], "the working folder, /home/me, is private"),
        (caller(home="/"), [], "/ is no home folder"),
        (caller(home=""), [], "an empty HOME is no home folder"),
        (caller(), ["/"], "/ cannot be private: /proc is in it"),
        (caller(), ["/proc"], "/proc cannot be private"),
    ],
)
def test_what_cannot_be_as_it_is_asked_is_an_error(
    who: Caller, paths: list[str], cause: str
) -> None:
    with pytest.raises(SandboxError, match=cause) as caught:
        check(who, *paths, home=True)
    assert caught.value.next_step
