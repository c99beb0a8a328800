"""The host has an address and names inside; in a container, one name means another machine."""

from pathlib import Path

from relay.addresses import parse_pool
from relay.host.itself import host_itself

POOL = parse_pool("198.18.0.0/15")


def test_in_a_container_the_name_of_containers_is_not_ours(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert host_itself(POOL, [str(mark)]) == (
        "198.18.0.2",
        ("host.internal", "host.docker.internal"),
    )
    mark.touch()
    assert host_itself(POOL, [str(mark)]) == ("198.18.0.2", ("host.internal",))
