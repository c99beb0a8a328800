"""The host has an address and names inside; in a container, one name means another machine."""

from pathlib import Path

import pytest

from relay.addresses import parse_pool
from relay.host import itself
from relay.host.itself import host_itself

POOL = parse_pool("198.18.0.0/15")


def test_in_a_container_the_name_of_containers_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    monkeypatch.setattr(itself, "_MARKS", (str(mark),))
    assert host_itself(POOL) == ("198.18.0.2", ("host.internal", "host.docker.internal"))
    mark.touch()
    assert host_itself(POOL) == ("198.18.0.2", ("host.internal",))
