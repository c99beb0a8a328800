"""A change of the files of settings tightens a session that runs, and can do nothing else."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.addresses import Destination
from relay.config import Sources, from_toml
from relay.config.tightening import MOST_NOTES, SETTLE, Tightening
from relay.policy.current import CurrentPolicy
from relay.policy.host_ports import HostPorts
from relay.policy.policy import MOST_LISTS
from relay.policy.verdicts import Allow
from relay.record.events import (
    Event,
    HostPortClosed,
    HostPortOpened,
    PolicyChangeIgnored,
    PolicyTightened,
)
from tests.support.pace import patience

API = Destination("api.test", 443)
OTHER = Destination("other.test", 443)


class Watched:
    """A session's rules, whose file is watched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        sources = Sources(file=from_toml(text, str(path)), path=str(path))
        self.policy = CurrentPolicy(sources.settings().policy())
        self.events: list[Event] = []
        self.ports = HostPorts(sources.settings().opened_ports())
        self.tightening = Tightening(sources, self.policy, self.events.append, self.ports)

    def allows(self, destination: Destination) -> bool:
        return self.policy.decide(destination) == Allow()

    async def until(self, condition: Callable[[], object]) -> None:
        with trio.fail_after(patience(5)):
            while not condition():  # noqa: ASYNC110 - there is no event for it
                await trio.sleep(0.01)

    async def says(self, text: str, count: int) -> None:
        """Write the file, and wait until so many events are there."""
        self.path.write_text(text)
        await self.until(lambda: len(self.events) >= count)


@asynccontextmanager
async def watching(folder: Path, before: str = "") -> AsyncIterator[Watched]:
    path = folder / "keepline/config.toml"
    if before:
        path.parent.mkdir()
        path.write_text(before)
    made = Watched(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.tightening.watch)
        await trio.testing.wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


async def test_what_is_denied_from_now_on_is(tmp_path: Path) -> None:
    async with watching(tmp_path) as made:
        assert made.allows(API)
        await made.says('[policy]\ndeny = ["api.test"]\n', 1)
        assert not made.allows(API)
        assert made.allows(OTHER)
        await made.says('[policy]\ndeny = ["api.test", "other.test"]\n', 2)
        assert not made.allows(OTHER)
    assert [type(event) for event in made.events] == [PolicyTightened] * 2
    assert made.tightening.notes == []


async def test_a_list_of_what_is_allowed_may_come_and_become_shorter(tmp_path: Path) -> None:
    async with watching(tmp_path) as made:
        await made.says('allow = ["api.test", "other.test"]\n', 1)
        assert made.allows(API)
        assert not made.allows(Destination("third.test", 443))
        await made.says('allow = ["api.test"]\n', 2)
        assert not made.allows(OTHER)
    assert made.tightening.notes == []


async def test_a_preset_that_is_new_is_not_read_any_more(tmp_path: Path) -> None:
    """The program may have written it, or a FIFO in its place."""
    async with watching(tmp_path) as made:
        await made.says('presets = ["npm"]\ndeny = ["api.test"]\n', 1)
        assert made.allows(API)
    assert [type(event) for event in made.events] == [PolicyChangeIgnored]
    assert made.tightening.notes[0].endswith("a preset that is new to it needs a new session")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('deny = ["api.test"]\n', ""),
        ('deny = ["api.test"]\n', 'deny = ["more.test"]\n'),
        ('allow = ["other.test"]\n', ""),
        ('allow = ["other.test"]\n', 'allow = ["other.test", "api.test"]\n'),
        ('allow = ["other.test"]\n', '[policy]\nmode = "open"\n'),
    ],
)
async def test_what_was_denied_stays_so_and_that_is_said_once(
    tmp_path: Path, before: str, after: str
) -> None:
    async with watching(tmp_path, before) as made:
        assert not made.allows(API)
        await made.says(after, 2)
        assert not made.allows(API)
        await made.says("# as before\n" + before, 3)
        await made.says(after, 4)
        assert not made.allows(API)
    assert len([e for e in made.events if isinstance(e, PolicyChangeIgnored)]) == 1
    (note,) = made.tightening.notes
    assert "takes a new session" in note


async def test_a_port_of_the_host_that_is_listed_no_longer_is_closed(tmp_path: Path) -> None:
    before = 'host_ports = [5432, "8000-8010"]\n'
    async with watching(tmp_path, before) as made:
        made.ports.open(4711, "a lock file")
        await made.says('host_ports = [5432, "8000-8004"]\n', 3)
        assert [f"{each}" for each in made.ports] == ["5432", "8000-8004", "4711"]
        await made.says(f"auto_ports = false\n{before}", 6)
        assert [f"{each}" for each in made.ports] == ["5432", "8000-8004"], "it stays closed"
        await made.says("", 9)
        assert list(made.ports) == []
    path = made.path
    changes = [e for e in made.events if isinstance(e, HostPortClosed | HostPortOpened)]
    assert [event.text() for event in changes] == [
        f"ports 8000-8010 of the host's loopback closed: {path}:1",
        f"ports 8000-8004 of the host's loopback opened by {path}:1",
        "port 4711 of the host's loopback closed: a lock file",
        f"port 5432 of the host's loopback closed: {path}:1",
        f"ports 8000-8004 of the host's loopback closed: {path}:1",
    ]
    (note,) = made.tightening.notes
    assert "takes a new session" in note


async def test_what_listens_inside_may_be_published_no_longer(tmp_path: Path) -> None:
    seen: list[bool] = []
    async with watching(tmp_path) as made:
        for count, mode in enumerate(("auto", "off", "on"), 1):
            await made.says(f'publish = "{mode}"\n', count)
            seen.append(made.tightening.may_publish)
    assert seen == [True, False, False]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("deny = [\n", "config.toml"),
        ('deny = ["a b"]\n', "config.toml:1: deny: 'a b'"),
        ("nosuch = 1\n", "there is no such setting"),
        ("allow = []\n", "it is empty"),
    ],
)
async def test_what_is_invalid_is_said_and_ignored(tmp_path: Path, text: str, cause: str) -> None:
    async with watching(tmp_path, 'deny = ["api.test"]\n') as made:
        await made.says(text, 1)
        assert not made.allows(API)
        assert made.allows(OTHER)
        await made.says('deny = ["api.test", "other.test"]\n', 2)
        assert not made.allows(OTHER)
    assert [type(event) for event in made.events] == [PolicyChangeIgnored, PolicyTightened]
    assert cause in made.tightening.notes[0]


async def test_what_is_no_file_hangs_nothing(tmp_path: Path) -> None:
    async with watching(tmp_path, 'deny = ["api.test"]\n') as made:
        made.path.unlink()
        os.mkfifo(made.path)
        await made.until(lambda: made.events)
        made.path.unlink()
        made.path.mkdir()
        await made.until(lambda: len(made.events) > 1)
        made.path.rmdir()
        await made.says("# " + "x" * (5 << 20), 3)
        made.path.unlink()
        await made.says('deny = ["other.test"]\n', 4)
        assert not made.allows(API)
        assert not made.allows(OTHER)


async def test_the_file_of_the_project_tightens_too(tmp_path: Path) -> None:
    async with watching(tmp_path) as made:
        project = Path.cwd() / ".keepline.toml"
        project.write_text('[policy]\ndeny = ["api.test"]\n')
        await made.until(lambda: made.events)
        assert not made.allows(API)
        project.unlink()
        await made.until(lambda: len(made.events) > 1)
        assert not made.allows(API)


async def test_a_folder_that_is_replaced_is_watched_on(tmp_path: Path) -> None:
    async with watching(tmp_path, "keepidle = 9\n") as made:
        made.path.parent.rename(tmp_path / "old")
        made.path.parent.mkdir()
        await made.says('deny = ["api.test"]\n', 1)
        await made.until(lambda: not made.allows(API))


async def test_a_link_to_the_folder_that_is_changed_is_noticed(tmp_path: Path) -> None:
    folders = [tmp_path / "dots" / name for name in ("one", "two")]
    for folder, host in zip(folders, ("other.test", "api.test"), strict=True):
        (folder / "keepline").mkdir(parents=True)
        (folder / "keepline/config.toml").write_text(f'deny = ["{host}"]\n')
    link, new = tmp_path / "config", tmp_path / "new"
    link.symlink_to(folders[0])
    new.symlink_to(folders[1])
    async with watching(link) as made:
        assert made.allows(API)
        new.rename(link)
        await made.until(lambda: not made.allows(API))
        assert not made.allows(OTHER)


async def test_a_file_that_is_written_by_another_of_its_names_is_noticed(tmp_path: Path) -> None:
    async with watching(tmp_path, "keepidle = 9\n") as made:
        other = tmp_path / "other.toml"
        other.hardlink_to(made.path)
        other.write_text('deny = ["api.test"]\n')
        await made.until(lambda: not made.allows(API))


async def test_a_file_that_is_written_in_pieces_is_read_when_it_is_complete(tmp_path: Path) -> None:
    async with watching(tmp_path, 'deny = ["api.test"]\n') as made:
        with made.path.open("w") as file:  # which truncates it
            for piece in ('deny = ["api.test",', ' "other.test"', "]\n"):
                file.write(piece)
                file.flush()
                await trio.lowlevel.checkpoint()
        await made.until(lambda: made.events)
    assert [type(event) for event in made.events] == [PolicyTightened]


async def test_a_file_that_is_rewritten_without_end_closes_the_session_and_is_told_of_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with watching(tmp_path) as made:
        for number in range(MOST_LISTS + 10):
            made.path.write_text(f'allow = ["api.test", "n{number}.test"]\n')
            await trio.sleep(2 * SETTLE)
        assert not made.allows(API)
    assert sum(isinstance(event, PolicyTightened) for event in made.events) == MOST_LISTS
    assert made.tightening.notes[-1].startswith("the settings were changed too often")


async def test_mistakes_without_end_are_told_of_a_few_times(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with watching(tmp_path) as made:
        for number in range(MOST_NOTES + 10):
            made.path.write_text(f"mistake_{number} = 1\n")
            await trio.sleep(2 * SETTLE)
        await made.says('deny = ["api.test"]\n', MOST_NOTES + 2)
        assert not made.allows(API)
    assert len(made.tightening.notes) == MOST_NOTES + 1
    assert made.tightening.notes[-1] == "further changes of the settings are ignored too"
