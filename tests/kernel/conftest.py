"""Kernel tests run in namespaces of their own: nothing they send reaches the real network."""

import os
from collections.abc import AsyncIterator

import pytest
import trio

from netns.errors import SandboxError
from tests.support.command.keepline import Keepline
from tests.support.internet.enter import enter
from tests.support.internet.witness import TOTALS
from tests.support.internet.world import Internet

_NO_NAMESPACE = pytest.StashKey[SandboxError | None]()


def pytest_configure(config: pytest.Config) -> None:
    """Move the test process before any test, while it has one thread."""
    config.addinivalue_line("markers", "as_user_alone(why): root's run would show the same")
    try:
        enter(as_root=config.getoption("act_as") == "root")
        config.stash[_NO_NAMESPACE] = None
    except SandboxError as error:
        config.stash[_NO_NAMESPACE] = error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, as root, what does not depend on who the caller is."""
    if config.getoption("act_as") != "root":
        return
    same = [item for item in items if item.get_closest_marker("as_user_alone")]
    config.hook.pytest_deselected(items=same)
    items[:] = [item for item in items if item not in same]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip without a namespace, or fail where a skip must not hide."""
    error = item.config.stash[_NO_NAMESPACE]
    if error is None:
        return
    reason = f"{error}; {error.next_step}"
    if os.environ.get("REQUIRE_NETNS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
async def internet(nursery: trio.Nursery) -> AsyncIterator[Internet]:
    """Yield the standard small internet, with its name servers answering."""
    with Internet() as made:
        await nursery.start(made.serve_names)
        await nursery.start(made.watch)
        yield made
        assert made.witness is not None
        assert made.witness.seen == [], "packets to what is denied"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how much was looked at."""
    totals = (f"{number} {what}" for what, number in vars(TOTALS).items())
    terminalreporter.write_line(f"left by sessions with deny rules: {', '.join(totals)}")


@pytest.fixture(params=["default", "strict"])
def at_each_level(internet: Internet, request: pytest.FixtureRequest) -> Keepline:
    """Return a keepline of the host, once at each level."""
    keepline = Keepline(internet)
    if request.param == "strict":
        keepline.config.write_text("strict = true\n")
    return keepline
