"""The namespace is a usual machine: an interface that is up, the host's addresses, its own servers.

docs/same.md has what programs find, bare and under keepline; here is what it is made of.
"""

import sys

import pytest

from netns.network import links
from netns.plan import OWN_ADDRESS, Plan
from tests.support.command.inside import inside
from tests.support.command.keepline import Keepline
from tests.support.internet.hosts import Host
from tests.support.internet.world import CLIENT, GATEWAY, SERVER, Internet

OTHER = "10.9.0.1"
NETWORK = (
    "from ipaddress import IPv4Network; from relay.host import interfaces;"
    " n = interfaces.host_network(IPv4Network('198.18.0.0/15')); "
)


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


async def shown(host: Host) -> str:
    """Return what the host's network is taken for."""
    code = NETWORK + "print(n.device, *n.addresses, n.gateway)"
    done = await host.run_process([sys.executable, "-I", "-c", code])
    return done.stdout.decode().strip()


async def test_the_hosts_network_is_that_of_its_default_route(internet: Internet) -> None:
    assert await shown(internet.client) == f"eth0 ('{CLIENT}', 24) {GATEWAY}"
    internet.access.left.add_address(f"{OTHER}/32", "198.18.0.1/15")
    assert await shown(internet.client) == f"eth0 ('{CLIENT}', 24) ('{OTHER}', 32) {GATEWAY}"


async def test_of_two_default_routes_the_better_one_counts(internet: Internet) -> None:
    with internet.client.netlink() as netlink:
        netlink.link("add", ifname="vpn0", kind="veth", peer={"ifname": "other"})
        index = netlink.link_lookup(ifname="vpn0")[0]
        netlink.link("set", index=index, state="up")
        netlink.addr("add", index=index, address=OTHER, prefixlen=24)
        netlink.route("add", dst="0.0.0.0/0", oif=index, priority=50)
        access = internet.access.left
        access.remove_route("default", GATEWAY)
        netlink.route("add", dst="0.0.0.0/0", gateway=GATEWAY, priority=100)
    assert await shown(internet.client) == f"vpn0 ('{OTHER}', 24) ('{CLIENT}', 24)"


async def test_without_a_default_route_the_first_interface_counts(internet: Internet) -> None:
    internet.access.left.remove_route("default", GATEWAY)
    assert await shown(internet.client) == f"eth0 ('{CLIENT}', 24)"


async def test_addresses_of_lo_are_the_hosts_too(internet: Internet) -> None:
    access = internet.access.left
    access.remove_address(f"{CLIENT}/24")
    assert await shown(internet.client) == ""
    with internet.client.netlink() as netlink:
        netlink.addr("add", index=1, address=OTHER, prefixlen=32)
    assert await shown(internet.client) == f"eth0 ('{OTHER}', 32)"


def planned(device: str, gateway: str = "") -> Plan:
    return Plan((), device=device, addresses=[(CLIENT, 24)], gateway=gateway)


def addresses(host: Host) -> dict[str, list[str]]:
    """Return the addresses of each interface."""
    with host.netlink() as netlink:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}
        found: dict[str, list[str]] = {name: [] for name in names.values()}
        for each in netlink.get_addr():
            found[names[each["index"]]].append(each.get_attr("IFA_ADDRESS"))
    return found


async def test_the_device_has_ipv4_addresses_alone_and_its_other_end_none() -> None:
    host = Host("bare")
    try:
        assert host.call(lambda: links.bring_up(planned("eth0", GATEWAY))) == ""
        found = addresses(host)
        assert sorted(found.pop("lo")) == ["127.0.0.1", OWN_ADDRESS, "::1"]
        assert found == {"eth0": [CLIENT], "keepline": []}
    finally:
        host.close()


@pytest.mark.parametrize("device", ["keepline", "a name that is too long for one"])
async def test_without_a_veth_it_goes_on_by_lo_alone(device: str) -> None:
    host = Host("bare")
    try:
        why = host.call(lambda: links.bring_up(planned(device)))
        assert why.startswith("no veth: ")
        assert list(addresses(host)) == ["lo"]
        with host.netlink() as netlink:
            found = netlink.route("get", dst=SERVER)[0]
        assert (found["type"], found.get_attr("RTA_PREFSRC")) == (2, OWN_ADDRESS)  # RTN_LOCAL
    finally:
        host.close()


async def test_doctor_says_what_is_shown(internet: Internet, keepline: Keepline) -> None:
    done = await keepline.call("doctor")
    assert "works   the host's interface and addresses are shown" in done.stdout.decode()


async def test_a_server_inside_is_found_at_an_address_that_the_host_gets_later(
    internet: Internet, keepline: Keepline
) -> None:
    async with keepline.start(*inside("serves_at", OTHER)) as session:
        assert await session.readline() == b"ready\n"
        internet.access.left.add_address(f"{OTHER}/32")
        assert await session.readline() == b"found\n"
        internet.access.left.remove_address(f"{OTHER}/32")
        assert await session.readline() == b"lost\n"
        assert (await session.end()).status == 0
