"""An engine's client is run to its end, and is asked to end by whoever asks keepline."""

import signal
import sys

import pytest

from netns.errors import KeeplineError
from relay.engines import command


@pytest.fixture(autouse=True)
def handlers() -> object:
    kept = {number: signal.getsignal(number) for number in (1, 2, 3, 15)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_its_status_is_ours() -> None:
    assert command.status_of(["sh", "-c", "exit 7"]) == 7
    assert command.status_of(["sh", "-c", "kill -9 $$"]) == 128 + 9


def test_who_asks_us_to_end_asks_it() -> None:
    code = "import os, signal; os.kill(os.getppid(), signal.SIGTERM); signal.pause()"
    assert command.status_of([sys.executable, "-I", "-c", code]) == 128 + signal.SIGTERM


def test_an_engine_that_is_not_there_is_told() -> None:
    with pytest.raises(KeeplineError, match="cannot be started: No such file") as caught:
        command.status_of(["none-such-engine"])
    assert caught.value.next_step == "install none-such-engine"
