"""Command line options of the whole suite, and the signals that its programs begin with."""

import signal

import hypothesis
import pytest

# A test's time says how busy the machine is; what an example may cost is asserted where it counts.
hypothesis.settings.register_profile("keepline", deadline=None)
hypothesis.settings.load_profile("keepline")


def pytest_configure() -> None:
    """Undo what nohup or a background job has set: ignored signals stay ignored through exec."""
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--as",
        dest="act_as",
        choices=("user", "root"),
        default="user",
        help="who the kernel tests are: an ordinary user, or root with its range of ids",
    )
    parser.addoption(
        "--part",
        type=_part,
        default=(1, 1),
        metavar="N/M",
        help="every Mth test from the Nth on: M runs side by side are all",
    )


def _part(text: str) -> tuple[int, int]:
    """Return the two numbers of a part; raises ValueError."""
    number, parts = map(int, text.split("/"))
    if not 1 <= number <= parts:
        raise ValueError(text)
    return number, parts


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the part that is asked for: neighbours, which often wait alike, go to different ones."""
    number, parts = config.getoption("--part")
    config.hook.pytest_deselected(
        items=[item for at, item in enumerate(items) if at % parts != number - 1]
    )
    items[:] = items[number - 1 :: parts]
