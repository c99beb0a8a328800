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
