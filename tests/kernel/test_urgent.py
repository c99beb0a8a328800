"""TCP's urgent byte comes through in both directions, in its place, as without keepline."""

import subprocess

import pytest
import trio

from tests.support.command.keepline import Keepline
from tests.support.command.urgent import urgent
from tests.support.internet.world import SERVER, Internet
from tests.support.pace import patience

PORT = "2121"
HEARD = "True True ! aaaaa\n" * 2
"""POLLPRI, the mark behind what came before, the byte, what came after."""


@pytest.mark.parametrize("how", ["apart", "inline"])
async def test_the_urgent_byte_comes_through(internet: Internet, how: str) -> None:
    keepline = Keepline(internet)
    for prefix in ([], keepline.argv("run", "--")):
        server = internet.server.popen(
            urgent("accept", SERVER, PORT, how), stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "listening\n"
            with trio.fail_after(patience(30)):
                done = await internet.client.run_process(
                    [*prefix, *urgent("connect", SERVER, PORT, how)], env=keepline.environment
                )
            assert done.stdout.decode() == HEARD
            assert server.stdout.read() == HEARD
        finally:
            server.kill()
            server.communicate()
