"""Each reason why a container's name server cannot have its port is told with the next step."""

import errno
import os

import pytest

from netns.entering import no_port


@pytest.mark.parametrize(
    ("number", "next_step"),
    [
        (errno.EADDRINUSE, "another keepline run, or a name server"),
        (errno.EACCES, "--cap-add NET_BIND_SERVICE"),
    ],
)
def test_a_port_that_cannot_be_had_is_told(number: int, next_step: str) -> None:
    error = no_port(OSError(number, os.strerror(number)))
    assert error.cause == f"port 53 of the container: {os.strerror(number)}"
    assert next_step in error.next_step
