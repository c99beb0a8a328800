from hypothesis import given
from hypothesis import strategies as st

from netns.private.tree import (
    Empty,
    Folder,
    Link,
    Opened,
    Step,
    arranged,
    followed,
    is_below,
    parts,
)

LINKS = {
    "/var/run": "/run",
    "/run/shm": "../dev/shm",
    "/tmp/v/bin/python": "python3",
    "/tmp/v/bin/python3": "/opt/./python",
    "/loop": "loop",
}


def empty(path: str, *, exists: bool = True) -> Empty:
    return Empty(path, 0o755, "50%", exists)


def folder(path: str) -> Opened:
    return Opened(path, 3, is_folder=True)


def test_a_path_without_links_is_what_it_leads_to() -> None:
    assert followed("/usr//bin/./env/", LINKS.get) == ([], "/usr/bin/env")
    assert followed("/usr/../../etc", LINKS.get) == ([], "/etc")
    assert followed("/", LINKS.get) == ([], "/")


def test_links_are_followed_one_after_another() -> None:
    assert followed("/var/run/shm/x", LINKS.get) == (
        [Link("/var/run", "/run"), Link("/run/shm", "../dev/shm")],
        "/dev/shm/x",
    )
    links, place = followed("/tmp/v/bin/python", LINKS.get)
    assert [link.path for link in links] == ["/tmp/v/bin/python", "/tmp/v/bin/python3"]
    assert place == "/opt/python"


def test_a_loop_ends() -> None:
    links, _ = followed("/loop", LINKS.get)
    assert len(links) == 41


def test_what_is_below() -> None:
    assert is_below("/tmp/a", "/tmp")
    assert is_below("/tmp", "/tmp")
    assert is_below("/tmp", "/")
    assert not is_below("/tmpfs", "/tmp")
    assert not is_below("/", "/tmp")


def test_what_is_in_no_empty_folder_is_there_anyway() -> None:
    wanted: list[Step] = [
        folder("/home/me"),
        Link("/var/run", "/run"),
        Folder("/home/me/tmp", 0o700),
        empty("/run"),
        folder("/run/wrappers"),
    ]
    assert arranged(wanted) == [empty("/run"), folder("/run/wrappers")]


def test_what_is_in_an_opened_folder_is_there_with_it() -> None:
    wanted: list[Step] = [
        empty("/tmp"),
        folder("/tmp/home"),
        folder("/tmp/home/work"),
        folder("/tmp/other"),
        Folder("/tmp/home/x", 0o700),
    ]
    assert arranged(wanted) == [empty("/tmp"), folder("/tmp/home"), folder("/tmp/other")]


def test_an_empty_folder_in_an_opened_one_is_empty_if_it_is_there() -> None:
    wanted: list[Step] = [
        empty("/tmp"),
        folder("/tmp/home"),
        empty("/tmp/home/run"),
        empty("/tmp/home/none", exists=False),
        folder("/tmp/home/run/x"),
    ]
    assert [step.path for step in arranged(wanted)] == [
        "/tmp",
        "/tmp/home",
        "/tmp/home/run",
        "/tmp/home/run/x",
    ]


def test_an_empty_folder_is_made_where_it_can_be() -> None:
    wanted: list[Step] = [
        empty("/run/user/7", exists=False),
        empty("/none", exists=False),
        empty("/run"),
    ]
    assert arranged(wanted) == [empty("/run"), empty("/run/user/7", exists=False)]


def test_what_is_not_asked_for_is_made_where_the_host_has_it_alone() -> None:
    there, absent = (
        Empty("/run/user/7", 0o700, "1m", each, is_asked_for=False) for each in (True, False)
    )
    assert arranged([empty("/run"), there]) == [empty("/run"), there]
    assert arranged([empty("/run"), absent]) == [empty("/run")]


def test_an_empty_folder_stays_empty_whatever_is_wanted_there() -> None:
    wanted: list[Step] = [folder("/tmp"), Folder("/tmp", 0o700), empty("/tmp")]
    assert arranged(wanted) == [empty("/tmp")]


def test_what_is_read_only_is_mounted_wherever_it_is() -> None:
    ide = Opened("/home/me/.claude/ide", 4, is_folder=True, read_only=True)
    assert arranged([ide]) == [ide]
    assert arranged([ide, empty("/tmp")]) == [ide, empty("/tmp")]


NAMES = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(
    lambda names: "/" + "/".join(names)
)
STEPS = st.one_of(NAMES.map(empty), NAMES.map(folder), NAMES.map(lambda path: Folder(path, 0o700)))


@given(st.lists(STEPS, max_size=8))
def test_each_comes_after_what_is_above_it_and_once(wanted: list[Step]) -> None:
    paths = [parts(step.path) for step in arranged(wanted)]
    assert paths == sorted(set(paths))


@given(st.lists(STEPS, max_size=8))
def test_nothing_is_made_in_a_folder_of_the_host(wanted: list[Step]) -> None:
    steps = arranged(wanted)
    for step in steps:
        above = [
            other
            for other in steps
            if is_below(step.path, other.path) and other.path != step.path
            if isinstance(other, Empty | Opened)
        ]
        assert isinstance(step, Empty) or isinstance(above[-1], Empty)
