"""Waiting for the network ends with its next change."""

import trio
import trio.testing

from relay.host.network import NetworkWatch


async def test_a_change_wakes_all_who_wait_and_nobody_later(nursery: trio.Nursery) -> None:
    network = NetworkWatch()
    woken: list[int] = []

    async def wait(number: int) -> None:
        await network.wait()
        woken.append(number)

    nursery.start_soon(wait, 1)
    nursery.start_soon(wait, 2)
    await trio.testing.wait_all_tasks_blocked()
    network.notify()
    nursery.start_soon(wait, 3)
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(woken) == [1, 2]
    nursery.cancel_scope.cancel()
