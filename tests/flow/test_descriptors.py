"""Spare descriptors: what borrows them works at the limit, and they are spare again after it."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.descriptors import COUNT, SPARE, Limit, Spare, at_all_costs
from relay.host.interfaces import local_addresses
from tests.support.machine.limits import at_the_limit


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def open_and_close() -> None:
    os.close(os.open(os.devnull, os.O_RDONLY))


@pytest.fixture
def kept() -> Iterator[Spare]:
    SPARE.keep()
    yield SPARE
    SPARE.keep(0)


def test_so_many_are_kept_and_none_at_last() -> None:
    before, spare = opened(), Spare()
    spare.keep()
    assert opened() == before + COUNT
    with spare.lent():
        assert opened() == before
    assert opened() == before + COUNT
    spare.keep(2)
    assert opened() == before + 2
    spare.keep(0)
    assert opened() == before


def test_who_borrows_in_turn_leaves_them_to_the_first() -> None:
    before, spare = opened(), Spare()
    spare.keep()
    with spare.lent():
        with spare.lent():
            assert opened() == before
        assert opened() == before
    assert opened() == before + COUNT
    spare.keep(0)


def test_as_many_are_kept_as_can_be_had_and_all_later() -> None:
    before, spare = opened(), Spare()
    with at_the_limit():
        spare.keep()
    assert opened() == before
    with spare.lent():
        pass
    assert opened() == before + COUNT
    spare.keep(0)


def test_at_the_limit_a_call_is_made_with_the_spare_ones_free(kept: Spare) -> None:
    with at_the_limit():
        with pytest.raises(OSError, match="Too many open files"):
            open_and_close()
        for _ in range(3):
            at_all_costs(open_and_close)


def test_another_error_is_not_tried_again(kept: Spare) -> None:
    calls: list[None] = []

    def fails() -> None:
        calls.append(None)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match="Input/output error"):
        at_all_costs(fails)
    assert len(calls) == 1


def test_the_hosts_addresses_can_be_read_at_the_limit(kept: Spare) -> None:
    before = local_addresses()
    with at_the_limit():
        assert local_addresses() == before


def test_what_waits_has_a_share_of_those_that_there_are() -> None:
    limit = Limit()
    assert limit.share(4, 4096) == 4096, "not known yet"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit.raise_to_hard()
    assert limit.most == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limit.most = 256
    assert [limit.share(part, 4096) for part in (4, 500)] == [64, 1]
