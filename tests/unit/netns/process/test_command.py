"""An environment is changed by name; every other entry stays byte for byte, and in order."""

import os

import pytest

from netns.process import inherited
from netns.process.command import changed, value_of

CALLERS = [b"A=1", b"no equals sign", b"A=2", b"B=\xff", b"=C", b""]


def test_what_is_not_named_stays() -> None:
    assert changed(CALLERS, {}) == CALLERS


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"A": "3"}, [*CALLERS[1:2], *CALLERS[3:], b"A=3"]),
        ({"A": None}, [*CALLERS[1:2], *CALLERS[3:]]),
        ({"B": "ü\udcfe", "NEW": ""}, [*CALLERS[:3], *CALLERS[4:], b"B=\xc3\xbc\xfe", b"NEW="]),
    ],
)
def test_a_name_has_one_value_or_none(changes: dict[str, str | None], left: list[bytes]) -> None:
    assert changed(CALLERS, changes) == left


def test_the_first_of_several_values_counts() -> None:
    assert value_of(CALLERS, "A") == "1"
    assert value_of(CALLERS, "B") == "\udcff"
    assert value_of(CALLERS, "no equals sign") is None


def test_what_systemd_passes_on_is_for_the_process_that_becomes_the_command() -> None:
    given = [b"LISTEN_PID=7", b"LISTEN_FDS=1", b"LISTEN_PIDFDID=9"]
    own = f"LISTEN_PID={os.getpid()}".encode()
    assert inherited.readdressed(given, 7) == [b"LISTEN_FDS=1", own]
    assert inherited.readdressed(given, 8) == given
