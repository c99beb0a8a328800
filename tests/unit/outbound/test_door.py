"""There is one way out: whatever else connects a socket is here, with where it leads."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
CONNECTS = {"connect", "connect_ex", "create_connection", "open_tcp_stream", "sendto", "sendmsg"}
"""What gets a packet to somewhere; all that has an underscore before it too."""

KNOWN = {
    ("relay/outbound/door.py", "self._connect"): "judged in the line before",
    ("relay/outbound/dialer.py", "self._connect"): "its own, by which it asks the door",
    ("relay/outbound/dialer.py", "self._door.connect"): "the door",
    ("relay/outbound/host_loopback.py", "self._connect"): "to loopback, judged in its function",
    ("relay/tcp/watch/liveness.py", "self._door.connect"): "the door",
    ("relay/doctor/__init__.py", "socket.create_connection"): "a proxy, tried by keepline doctor",
    ("relay/outbound/proxied/bridges.py", "sockets.connect"): "its own listener, on loopback",
    ("relay/outbound/proxied/socks.py", "asked.connect"): "over a socket that is connected already",
    ("relay/sidecar/ready.py", "socket.create_connection"): "the relay's own endpoint, on loopback",
    ("relay/sidecar/rules_watch.py", "sockets.connect"): "the relay's own listener, on loopback",
    ("relay/publishing/connections.py", "sockets.connect"): "a server within the namespace",
    ("relay/sockets.py", "sock.connect_ex"): "what the door calls",
    ("relay/dns/lookup/question.py", "sock.connect"): "a name server of the host's",
    ("relay/dns/nameserver.py", "udp.sendmsg"): "an answer, within the namespace",
    ("relay/inbound/held/holder.py", "raw.sendto"): "SYN or RST, within the namespace",
    ("relay/host/interfaces.py", "probe.connect_ex"): "UDP, and nothing is sent",
    ("relay/remote/link.py", "sock.connect"): "the relay's UNIX socket, from a sealed container",
    ("relay/remote/socket_file.py", "asking.connect_ex"): "a UNIX socket: does anybody listen?",
    (
        "relay/remote/kept.py",
        "self._listeners.dns_udp.connect",
    ): "UDP within the namespace, to none",
}


def test_whoever_connects_a_socket_goes_through_the_door() -> None:
    found = set()
    for path in (ROOT / "relay").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = str(path.relative_to(ROOT))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr.lstrip("_") in CONNECTS:
                    found.add((name, ast.unparse(node.func)))
            elif isinstance(node, ast.ImportFrom) and node.module == "relay.sockets":
                assert "connect" not in {each.name for each in node.names}, name
    assert found == set(KNOWN)
