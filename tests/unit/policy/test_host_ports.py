"""Ports of the host's loopback: opened by a source's word, closed by its last one's."""

import pytest

from relay.policy.host_ports import MOST, HostPorts, PortRange


def test_nothing_is_open_unless_a_source_says_so() -> None:
    ports = HostPorts([PortRange.parse("5432", "--host-port"), PortRange.parse("8000-8010", "x")])
    assert [ports.why(port) for port in (5432, 8000, 8010)] == ["--host-port", "x", "x"]
    assert [ports.why(port) for port in (0, 1, 5431, 7999, 8011, 65535)] == [None] * 6


def test_a_port_is_open_as_long_as_one_source_says_so() -> None:
    ports = HostPorts()
    assert ports.open(4000, "lock file a")
    assert not ports.open(4000, "lock file b")
    assert ports.why(4000) == "lock file a"
    ports.close(4000, "lock file a")
    assert ports.why(4000) == "lock file b"
    ports.close(4000, "lock file b")
    ports.close(4000, "lock file b")
    assert ports.why(4000) is None
    assert ports.open(4000, "lock file a")


def test_what_settings_open_stays_open() -> None:
    ports = HostPorts([PortRange(80, 80, "--host-port")])
    assert not ports.open(80, "lock file")
    ports.close(80, "lock file")
    assert ports.why(80) == "--host-port"
    assert list(ports) == [PortRange(80, 80, "--host-port")]


def test_what_is_open_is_listed() -> None:
    ports = HostPorts([PortRange(80, 90, "--host-port")])
    ports.open(4000, "a")
    ports.open(4000, "b")
    assert list(ports) == [PortRange(80, 90, "--host-port"), PortRange(4000, 4000, "a")]


def test_before_a_connection_each_source_is_asked_whether_its_word_holds() -> None:
    ports = HostPorts([PortRange(80, 80, "--host-port")])
    ports.open(4000, "a", "127.0.0.1".__eq__)
    ports.open(80, "a", "127.0.0.1".__eq__)
    asked = {(port, host) for port in (79, 80, 4000) for host in ("127.0.0.1", "127.0.0.5")}
    assert {each for each in asked if ports.holds(*each)} == {
        (80, "127.0.0.1"),
        (80, "127.0.0.5"),
        (4000, "127.0.0.1"),
    }
    ports.open(4000, "b")
    assert ports.holds(4000, "127.0.0.5")
    ports.withhold(4000)
    assert not ports.holds(4000, "127.0.0.1")


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ([(80, 90)], [(80, 90)]),
        ([(1, 65535)], [(80, 90)]),
        ([], []),
        ([(100, 110)], []),
        ([(70, 80), (90, 95)], [(80, 80), (90, 90)]),
        ([(86, 90), (80, 85)], [(80, 90)]),
        ([(80, 84), (86, 90), (82, 83)], [(80, 84), (86, 90)]),
    ],
)
def test_settings_that_become_tighter_close_ports(
    after: list[tuple[int, int]], left: list[tuple[int, int]]
) -> None:
    whole = PortRange(80, 90, "c.toml:1")
    ports = HostPorts([whole])
    kept = [PortRange(first, last, "c.toml:1") for first, last in left]
    ranges = [PortRange(first, last, "c.toml:2") for first, last in after]
    changes = ports.narrow(ranges, one_by_one=True)
    assert changes == ([] if kept == [whole] else [(whole, kept)])
    assert list(ports) == kept
    assert ports.narrow([whole], one_by_one=True) == [], "what is closed stays so"
    assert list(ports) == kept
    assert ports.has_all(kept)
    assert ports.has_all([whole]) == (kept == [whole])


def test_where_settings_become_a_list_what_was_opened_one_by_one_is_closed() -> None:
    ports = HostPorts([PortRange(80, 80, "a flag")])
    ports.open(4000, "lock file")
    changes = ports.narrow([PortRange(80, 80)], one_by_one=False)
    assert changes == [(PortRange(4000, 4000, "lock file"), [])]
    assert not ports.open(4000, "lock file")
    assert not ports.close(4000, "lock file")
    assert [ports.why(80), ports.why(4000)] == ["a flag", None]


def test_a_port_of_keeplines_own_leads_nowhere() -> None:
    ports = HostPorts([PortRange(3000, 3000, "--host-port")])
    ports.withhold(3000)
    ports.withhold(3001)
    assert not ports.open(3001, "lock file")
    assert ports.why(3000) is ports.why(3001) is None
    ports.release(3000)
    ports.release(3001)
    assert (ports.why(3000), ports.why(3001)) == ("--host-port", "lock file")


def test_how_many_are_opened_one_by_one_has_a_bound() -> None:
    ports, first = HostPorts(), 101
    last = first + MOST - 1
    assert all(ports.open(port, "a") for port in range(first, last + 1))
    assert not ports.open(last + 1, "a")
    assert ports.why(last + 1) is None
    assert not ports.open(last, "b")
    ports.close(first, "a")
    assert ports.open(last + 1, "a")


def test_the_name_servers_port_is_never_the_hosts() -> None:
    ports = HostPorts([PortRange.parse("1-65535", "x")])
    assert (ports.why(52), ports.why(53)) == ("x", None)
    assert ports.spans() == [(1, 52), (54, 65535)]
    assert not ports.open(53, "a lock file")
    with pytest.raises(ValueError, match="that port is the session's own name server's"):
        PortRange.parse("53")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_not_opened(port: int) -> None:
    with pytest.raises(ValueError, match="is no port"):
        HostPorts().open(port, "a")


@pytest.mark.parametrize(
    ("text", "shown"), [("1", "1"), (" 65535 ", "65535"), ("8000-8010", "8000-8010"), ("5-5", "5")]
)
def test_a_range_is_read_and_written(text: str, shown: str) -> None:
    assert str(PortRange.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "65536",
        "-1",
        "1-",
        "-",
        "9-8",
        "1-65536",
        "1-2-3",
        "x",
        "٣",
        "+1",
        "1 2",
        "99999999",
    ],
)
def test_a_mistake_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a port, or two as in 8000-8010, of 1 to 65535"):
        PortRange.parse(text)


def test_the_spans_are_without_ports_of_keeplines_own_and_changes_are_told() -> None:
    ports = HostPorts([PortRange(80, 90), PortRange(85, 85), PortRange(100, 100)])
    assert ports.spans() == [(80, 90), (85, 85), (100, 100)]
    changes: list[list[tuple[int, int]]] = []
    ports.changed = lambda: changes.append(ports.spans())
    ports.withhold(85)
    ports.withhold(100)
    ports.open(7, "a")
    ports.close(7, "a")
    ports.release(100)
    whole = [(80, 84), (86, 90)]
    assert changes == [
        [*whole, (100, 100)],
        whole,
        [(7, 7), *whole],
        whole,
        [*whole, (100, 100)],
    ]
