"""The kernel's calls that stand in the relay's source, and why some are made in no scenario.

So that the proof does not shrink unseen: a call that is added is to be reached by a scenario, or to
be listed here with its reason.
"""

import ast
import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from tests.support.faults.calls import OS_CALLS, OTHER_CALLS, SOCKET_CALLS, WAITS
from tests.support.faults.injector import ROOT, Site

NOT_WHILE_RELAYING: Final = (
    "relay/__main__.py",
    "relay/auto_ports/reading.py",
    "relay/cli.py",
    "relay/doctor/__init__.py",
    "relay/gateway/setup/choice.py",
    "relay/gateway/setup/files.py",
    "relay/gateway/setup/prepare.py",
    "relay/host/programs.py",
    "relay/host/ssh_config.py",
    "relay/inbound/proxy/",
    "relay/policy/presets/__init__.py",
    "relay/printing.py",
    "relay/proxy/",
    "relay/record/files.py",
    "relay/record/pruning.py",
    "relay/record/story/losses.py",
    "relay/record/story/telling.py",
    "relay/record/view.py",
    "relay/remote/channel.py",
    "relay/remote/command.py",
    "relay/remote/descriptors.py",
    "relay/remote/inside.py",
    "relay/remote/kept.py",
    "relay/remote/link.py",
    "relay/remote/maker.py",
    "relay/remote/outside.py",
    "relay/remote/socket_file.py",
    "relay/sealed.py",
    "relay/sidecar/",
)
"""What runs before the command starts or after it has ended, and in other commands.

keepline as a proxy is another way in: tests/flow/inbound/proxy has its own dialogues.
A sealed container's sockets are handed over before its command starts, and again in no scenario:
tests/kernel/test_sealed_container.py.
"""

_BEFORE: Final = "before the command starts"
_AFTER: Final = "after the command has ended"
_STOPS: Final = "stops the process itself, at a terminal: tests/kernel/test_terminal.py"
_SIGNALS: Final = "a signal is sent, and passed on: tests/kernel/test_signals.py"
_REFUSED_TO_US: Final = "a call on the host's loopback fails; a close like the one beside it"
_SMALL: Final = "what is sent first on a connection has room in its buffer"
_FAILED: Final = "a call before it has failed: its errnos are of runs, not of a scenario"
_AT_ONCE: Final = "what is asked for comes within the call: tests/support/faults/maker.py"
_TAKEN_OVER: Final = "a descriptor that has come is taken over"
_ELSEWHERE: Final = "of other kernels, or of a proxy: tests/flow/proxy"
_ENDLESS: Final = "of a command that does not end: tests/flow/outbound/proxied/test_renewal.py"
_SAME_TICK: Final = "two tasks that end in the same tick; it is a close like those beside it"

NOT_MADE: Final[dict[tuple[str, str], str]] = {
    ("relay/auto_ports/editors.py", "os.close"): _BEFORE,
    ("relay/host/inotify.py", "os.close"): _BEFORE,
    ("relay/gateway/setup/certificates.py", "os.urandom"): _BEFORE,
    ("relay/gateway/setup/trust.py", "Path(path).read_bytes"): _BEFORE,
    ("relay/host/interfaces.py", "socket.socket"): _BEFORE,
    ("relay/host/interfaces.py", "probe.connect_ex"): _BEFORE,
    ("relay/host/interfaces.py", "fcntl.ioctl"): _BEFORE,
    ("relay/host/interfaces.py", "probe.getsockname"): _BEFORE,
    ("relay/host/resolvers.py", "Path(RESOLV_CONF).read_text"): _BEFORE,
    ("relay/session.py", "Path(NSSWITCH_CONF).read_text"): _BEFORE,
    ("relay/record/flightlog.py", "fcntl.flock"): _BEFORE,
    ("relay/record/flightlog.py", "os.rename"): _BEFORE,
    ("relay/record/flightlog.py", "self.path.unlink"): _BEFORE,
    ("relay/gateway/setup/certificates.py", "os.close"): _AFTER,
    ("relay/command/first.py", "os.open"): _BEFORE,
    ("relay/command/ending.py", "os.kill"): _AFTER,
    ("relay/command/witness.py", "os.close"): _BEFORE,
    ("relay/command/witness.py", "os.kill"): _SIGNALS,
    ("relay/command/witness.py", "os.read"): _SIGNALS,
    ("relay/command/witness.py", "os.write"): _SIGNALS,
    ("relay/command/waiting.py", "os.open"): _STOPS,
    ("relay/command/waiting.py", "os.close"): _STOPS,
    ("relay/command/waiting.py", "os.kill"): _STOPS,
    ("relay/outbound/dialer.py", "sock.close"): _SAME_TICK,
    ("relay/outbound/dialer.py", "reached.sock.close"): _SAME_TICK,
    ("relay/outbound/proxied/renewal.py", "os.waitid"): _ENDLESS,
    ("relay/sockets.py", "sock.setblocking"): _ELSEWHERE,
    ("relay/sockets.py", "sock.recv"): _ELSEWHERE,
    ("relay/sockets.py", "trio.lowlevel.wait_writable"): _SMALL,
    ("relay/tcp/transfer/pump.py", "self.upstream.sock.close"): _SAME_TICK,
    ("relay/publishing/connections.py", "sock.close"): _FAILED,
    ("relay/publishing/look.py", "self._diag.close"): _AFTER,
    ("relay/publishing/on_host.py", "sock.close"): _FAILED,
    ("relay/publishing/sockets.py", "sock.close"): _FAILED,
    ("relay/publishing/sockets.py", "socket.socket"): _TAKEN_OVER,
    ("relay/publishing/sockets.py", "trio.lowlevel.wait_readable"): _AT_ONCE,
}
"""Calls by file and text, and why a place of theirs is reached by no scenario."""

_SOCKETS: Final = frozenset({*SOCKET_CALLS, "connect_ex", "sendto", "readall"})
_NAMED_LIKE_OTHERS: Final = frozenset(
    {"accept", "bind", "close", "connect", "listen", "recv", "send", "sendall"}
)
"""Not only sockets have these: what they are asked of has to be named like a socket."""
_SOCKET: Final = re.compile(r"(sock|socket|udp|tcp|program|own|raw|tap|diag|listener)$")
_MODULES: Final = {
    "os": {*OS_CALLS, "close"},
    "time": {"clock_gettime"},
    "socket": {"socket"},
    "trio.lowlevel": set(WAITS),
    "trio.socket": {"socket", "from_stdlib_socket"},
}
_FILES: Final = frozenset(
    {"mkdir", "open", "read_bytes", "read_text", "rename", "stat", "touch", "unlink", "write_text"}
)
_OTHERS: Final = frozenset(name for _owner, names in OTHER_CALLS for name in names)


class Expected(NamedTuple):
    """A call that stands in the source."""

    file: str
    text: str
    """What is called, as it is written."""
    first: int
    last: int
    """Its lines."""

    def is_made(self, made: Collection[Site]) -> bool:
        """Return whether it is among those that were made."""
        return any(site.file == self.file and self.first <= site.line <= self.last for site in made)


def expected() -> Iterator[Expected]:
    """Yield the calls of all that may run while a command does."""
    for path in sorted((ROOT / "relay").rglob("*.py")):
        file = str(path.relative_to(ROOT))
        if not file.startswith(NOT_WHILE_RELAYING):
            yield from _in_source(file, path.read_text())


def not_made(made: Collection[Site]) -> list[Expected]:
    """Return those that no scenario makes, and that are not excused."""
    return [
        each
        for each in expected()
        if not each.is_made(made) and (each.file, each.text) not in NOT_MADE
    ]


def needless(made: Collection[Site]) -> list[tuple[str, str]]:
    """Return the excuses of what is made, or is not in the source."""
    lacking = {(each.file, each.text) for each in expected() if not each.is_made(made)}
    return sorted(NOT_MADE.keys() - lacking)


def _in_source(file: str, source: str) -> Iterator[Expected]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if _is_kernels(owner, node.func.attr):
                text = ast.unparse(node.func)
                yield Expected(file, text, node.lineno, node.end_lineno or node.lineno)


def _is_kernels(owner: str, name: str) -> bool:
    """Return whether such a call is one to the kernel."""
    if owner in _MODULES:
        return name in _MODULES[owner]
    if name in _NAMED_LIKE_OTHERS or name == "setblocking":
        return _SOCKET.search(owner) is not None
    if name in _FILES:
        return "path" in owner.lower() or "bundle" in owner
    return name in _SOCKETS or name in _OTHERS
