"""A pod's connections come to its relay, all else is refused, and what is inbound is served."""

import os
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio

from netns.network import netlink, nlmsg
from netns.network.pod import RELAY_UID, TCP_PORT, tables
from netns.plan import OWN_ADDRESS
from relay.record.events.connections import DialHeld
from tests.support.command.pod import APP, Pod
from tests.support.command.pod_relay import PodRelay
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.wire import Capture
from tests.support.internet.world import (
    CLIENT,
    GATEWAY,
    NAMES,
    SECOND,
    SERVER,
    SERVER_V6,
    Internet,
)

UNUSED = "8080"


@pytest.fixture
async def pod(internet: Internet, nursery: trio.Nursery) -> Pod:
    """Return the client as a pod, with servers outside that say hello."""

    async def hello(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"hello")

    for address in (SERVER, SECOND, SERVER_V6):
        await nursery.start(serve, hello, listen(internet.server, address, 80))
    await nursery.start(serve, echo, listen(internet.server, SERVER, 7))
    return Pod(internet)


@pytest.fixture
async def ruled(pod: Pod) -> AsyncIterator[Pod]:
    """Yield it with its rules and its relay."""
    await pod.rules()
    async with pod.relay():
        yield pod


if os.getuid() == 0:

    async def test_all_but_the_relays_comes_to_the_relay(ruled: Pod, internet: Internet) -> None:
        ruled.host.set_sysctl("net.ipv4.ping_group_range", "0 65535")
        tried = {
            f"tcp {SERVER} 80": f"{SERVER}:80 hello",
            f"from {CLIENT} {SERVER} 80": f"{SERVER}:80 hello",
            f"tcp {SERVER_V6} 80": "ECONNREFUSED",
            f"udp {SERVER} 443": "ECONNREFUSED",
            f"udp {SERVER_V6} 443": "ECONNREFUSED",
            f"udp {SERVER} {TCP_PORT}": "ECONNREFUSED",
            f"dns {NAMES}": "dns",
            f"dns-tcp {NAMES}": "dns",
            "dns 127.0.0.11": "dns",
            f"dns {SERVER_V6}": "dns",
            f"dns-tcp {SERVER_V6}": "dns",
            f"ping {SERVER}": "EPERM",
            f"raw {SERVER} {socket.IPPROTO_IGMP}": "EPERM",
            f"raw {SERVER} {socket.IPPROTO_GRE}": "EPERM",
            f"own {SERVER}": CLIENT,
            f"by eth0 {SERVER} 80": "ECONNREFUSED",
            f"tcp 127.0.0.1 {UNUSED}": "ECONNREFUSED",
            f"tcp {CLIENT} {UNUSED}": "ECONNREFUSED",
        }
        with Capture(internet.access) as capture:
            for uid in (APP, 0):
                assert dict(zip(tried, await ruled.asked(*tried, uid=uid), strict=True)) == tried
            left = capture.packets(lambda packet: "IP" in packet and packet["IP"].src == CLIENT)
        assert {packet["IP"].dst for packet in left} == {SERVER}
        assert {packet["TCP"].dport for packet in left} == {80}
        assert len([packet for packet in left if packet["TCP"].flags == "S"]) == 4
        direct = await ruled.asked(f"tcp {SERVER} 80", f"tcp {SERVER_V6} 80", uid=RELAY_UID)
        assert direct == ["hello", "hello"]
        asked = await ruled.asked(f"udp {SERVER} 443", f"ping {SERVER}", uid=RELAY_UID)
        assert asked[0] == "ECONNREFUSED"  # the server's own
        assert asked[1].startswith("00")

    async def test_what_is_inbound_is_served(ruled: Pod, internet: Internet) -> None:
        router = Pod(internet, internet.router)
        here = (f"udp {CLIENT} {UNUSED}", f"tcp {CLIENT} {UNUSED}")
        ruled.host.set_sysctl("net.ipv4.conf.all.rp_filter", "1")
        for caller, address in ((router, CLIENT), (ruled, CLIENT), (ruled, "127.0.0.1")):
            asks = [ask.replace(CLIENT, address) for ask in here]
            async with ruled.program(f"serve {UNUSED}"):
                assert await caller.asked(*asks) == ["pod", "pod"]

    async def test_a_lost_link_and_a_lost_route_are_not_told(
        ruled: Pod, internet: Internet
    ) -> None:
        ask = f"tcp {SERVER} 80"
        internet.access.left.remove_route("default", GATEWAY)
        assert await ruled.asked(ask, f"dns {NAMES}") == [f"{SERVER}:80 ENETUNREACH", "dns"]
        internet.access.left.down()
        assert await ruled.asked(ask, f"dns {NAMES}") == [f"{SERVER}:80 ENETUNREACH", "dns"]

    async def test_without_the_relay_all_is_refused_and_nobody_takes_its_place(pod: Pod) -> None:
        await pod.rules()
        asks = (f"tcp {SERVER} 80", f"tcp {OWN_ADDRESS} {TCP_PORT}", f"dns {NAMES}")
        assert await pod.asked(*asks) == ["ECONNREFUSED"] * 3
        there = f"tcp {OWN_ADDRESS} {TCP_PORT}"
        assert await pod.asked(there, uid=RELAY_UID) == ["ECONNREFUSED"]
        async with pod.relay(uid=APP):
            assert await pod.asked(f"soon {SERVER} 80") == ["nothing"]
        await pod.rules("--uid", str(APP), "--exclude-uid", "7")
        async with pod.relay(uid=APP):
            assert await pod.asked(f"tcp {SERVER} 80", uid=RELAY_UID) == [f"{SERVER}:80 hello"]
            assert await pod.asked(f"tcp {SERVER} 80", uid=7) == ["hello"]
            assert await pod.asked(there) == ["here"]
            await pod.rules("--remove")
            assert await pod.asked(there, f"tcp {SERVER} 80") == ["ENETUNREACH", "hello"]

    async def test_what_is_excluded_is_left_alone(ruled: Pod) -> None:
        asks = (f"tcp {SERVER} 80", f"tcp {SECOND} 80", f"udp {SERVER} 443", f"tcp {SERVER_V6} 80")
        relayed, refused = [f"{SERVER}:80 hello", f"{SECOND}:80 hello"], "ECONNREFUSED"
        assert await ruled.asked(*asks) == [*relayed, refused, refused]
        await ruled.rules("--exclude-cidr", f"{SERVER}/32,{SERVER_V6}/128")
        assert await ruled.asked(*asks) == ["hello", relayed[1], refused, "hello"]
        await ruled.rules("--exclude-port", "79-81")
        assert await ruled.asked(*asks) == ["hello", "hello", refused, "hello"]

    async def test_dockers_name_server_can_ask_others(ruled: Pod) -> None:
        engine = ("nameserver 127.0.0.11\n", "# ExtServers: [203.0.113.53]\n")
        asks = ("dns 127.0.0.11", f"dns {SERVER}", f"dns-tcp {SERVER}")
        for lines, of_root in ((1, ["dns", "ECONNREFUSED", "ECONNREFUSED"]), (2, ["dns"] * 3)):
            ruled.host.resolv_conf.write_text("".join(engine[:lines]))
            await ruled.rules()
            assert await ruled.asked(*asks, uid=0) == of_root
            assert await ruled.asked(*asks) == ["dns"] * 3
            await ruled.rules("--check")

    @pytest.mark.parametrize("iptables", ["iptables-nft", "iptables-legacy"])
    async def test_a_firewall_judges_what_the_relay_dials(ruled: Pod, iptables: str) -> None:
        await ruled.shell(FIREWALL.replace("iptables", iptables))
        assert (await ruled.rules("--check")).stdout.startswith(b"the rules stand")
        asks = (f"tcp {SERVER} 80", f"tcp {SECOND} 80", f"dns {NAMES}")
        assert await ruled.asked(*asks) == [
            f"{SERVER}:80 hello",
            f"{SECOND}:80 EHOSTUNREACH",
            "dns",
        ]

    async def test_the_relay_itself_holds_what_a_lost_link_and_route_would_end(
        pod: Pod, internet: Internet
    ) -> None:
        await pod.rules()
        async with PodRelay(pod).running() as relay:
            assert await pod.asked(f"tcp {SERVER} 80", f"tcp {SERVER} 81") == [
                "hello",
                "ECONNRESET",
            ]
            internet.access.left.down()
            results: list[str] = []

            async def ask() -> None:
                results.extend(await pod.asked(f"tcp {SECOND} 80"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await relay.until(DialHeld)
                assert results == []
                internet.access.left.up()
            assert results == ["hello"]
            await pod.shell("nft delete table ip keepline_pod")
            ready = await pod.keepline.call("sidecar", "ready")
            assert ready.status == 1
            await pod.rules()
            assert (await pod.keepline.call("sidecar", "ready", "--wait", "30")).status == 0

    async def test_the_rules_are_made_once_compared_and_taken_away(
        pod: Pod, internet: Internet
    ) -> None:
        before = await pod.shown()
        missing = (await pod.rules("--check", status=1)).stdout
        assert missing.startswith(b"+ nft table ip keepline_pod\n")
        assert await pod.shown() == before
        parts = missing.count(b"\n")
        async with pod.program(f"hold {SERVER} 7") as program:
            assert await program.answer("direct") == "direct"
            await pod.rules()
            assert await program.answer("more") == '["ECONNRESET"]'
        ruled = await pod.shown()
        assert (await pod.rules("--check")).stdout == b"the rules stand, %d parts\n" % parts
        assert (await pod.rules()).stdout == b"the rules stand already, %d parts\n" % parts
        async with pod.relay(), pod.program(f"hold {SERVER} 7") as program:
            assert await program.answer("one") == "one"
            differs = (await pod.rules("--check", "--uid", "7", status=1)).stdout.decode()
            assert "+ ip rule 108: from 0.0.0.0/32 uidrange 7-7 goto 111\n" in differs
            assert "- ip rule 108: from 0.0.0.0/32 uidrange 1337-1337 goto 111\n" in differs
            await pod.rules("--uid", "7")
            assert "uidrange 7-7" in await pod.shown()
            await pod.rules()
            assert await program.answer("two") == "two"
        assert await pod.shown() == ruled
        await pod.shell("nft flush chain ip keepline_pod output; ip rule del pref 108")
        flushed = (await pod.rules("--check", status=1)).stdout.decode().splitlines()
        assert flushed.pop() == "+ ip rule 108: from 0.0.0.0/32 uidrange 1337-1337 goto 111"
        assert {line.partition(": ")[0] for line in flushed} == {"+ nft ip output"}
        await pod.rules()
        await pod.rules("--check")
        gone = (await pod.rules("--remove", "--check", status=1)).stdout
        assert gone.count(b"\n") == parts
        await pod.rules("--remove")
        assert await pod.shown() == before
        assert (await pod.rules("--remove")).stdout == b"there were no rules\n"

    async def test_what_fails_leaves_nothing(pod: Pod) -> None:
        before = await pod.shown()
        owned = nlmsg.nfgenmsg(socket.AF_INET6)
        owned += nlmsg.attribute(1, tables.TABLE.encode() + b"\0")
        owned += nlmsg.attribute(2, struct.pack("!I", 2))  # NFT_TABLE_F_OWNER
        made = nlmsg.message(nlmsg.NFTABLES << 8, nlmsg.CREATE | nlmsg.ACK, owned)
        with pod.host:
            owner = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER)
        with owner:  # nobody else may delete the table
            netlink.ask(owner, nlmsg.nftables_batch(made))
            done = await pod.rules(status=125)
        assert done.stderr.startswith("keepline: nf_tables: the table of before: ")
        assert await pod.shown() == before

    @pytest.mark.parametrize("lacks", ["IPv6", "routes", "all"])
    async def test_a_pod_need_not_have_it(pod: Pod, internet: Internet, lacks: str) -> None:
        if lacks != "routes":
            pod.host.set_sysctl("net.ipv6.conf.all.disable_ipv6", "1")
        if lacks != "IPv6":
            await pod.shell("ip addr flush dev eth0")
        before = await pod.shown()
        await pod.rules()
        await pod.rules("--check")
        async with pod.relay():
            assert await pod.asked(f"dns {NAMES}") == ["dns"]
            assert (await pod.asked(f"tcp {SERVER} 80"))[0].startswith(f"{SERVER}:80 ")
        await pod.rules("--remove")
        assert await pod.shown() == before

    async def test_a_capability_of_the_init_step_is_enough(pod: Pod) -> None:
        argv = pod.keepline.argv("sidecar", "rules")
        kept = ["setpriv", "--bounding-set", "-all,+net_admin", "--no-new-privs"]
        alone = ["unshare", "--mount", "sh", "-euc", 'mount -o remount,bind,ro /; exec "$@"', "-"]
        done = await pod.host.run_process([*alone, *kept, *argv])
        assert done.stdout.startswith(b"the rules stand, ")


async def test_without_the_capability_the_words_name_it(pod: Pod) -> None:
    argv = pod.keepline.argv("sidecar", "rules", "--uid", str(os.getuid() or RELAY_UID))
    dropped = ["setpriv", "--bounding-set", "-all"] if os.getuid() == 0 else []
    done = await pod.host.run_process([*dropped, *argv], check=False)
    assert (done.returncode, done.stdout) == (125, b"")
    assert "this process has no NET_ADMIN" in done.stderr.decode()
    assert "add: [NET_ADMIN]" in done.stderr.decode()


FIREWALL = f"""
export XTABLES_LOCKFILE=$(mktemp -u)
iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X; iptables -t mangle -F
iptables -A OUTPUT -o lo -j ACCEPT; iptables -A INPUT -i lo -j ACCEPT
iptables -P INPUT DROP; iptables -P OUTPUT DROP
iptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
iptables -A OUTPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
iptables -A OUTPUT -d {SERVER} -j ACCEPT
iptables -A OUTPUT -j REJECT --reject-with icmp-admin-prohibited
"""
"""What an agent's own devcontainer does, in short."""
