"""What is tried in each pod, in its order: outages, refusals, restarts, and what is counted."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from netns.network.pod import HTTP_PORT

from .engines import HELLO, Engine
from .pods import KINDS, Pod
from .rows import KEEPLINE

_OUTAGE_SECONDS: Final = 5
"""Bare, a connect() to a host of the same network that is away fails after 3 s."""
_AT_ONCE_SECONDS: Final = 3
"""Longer than a busy machine takes to start a container's process, and less than any wait."""
_DNS_SECONDS: Final = 12
_LEFT: Final = (
    "table inet lab { chain left { type filter hook postrouting priority 300;"
    ' oifname "eth0" ct direction original meta skuid != 1337 counter; }; }'
)
_READY: Final = f"{KEEPLINE} sidecar ready --wait 20"
_ASK: Final = "curl -sS -m 20 http://api/"
_REFUSED: Final = 7
"""curl's status where the connection was refused."""
_AT_ONCE: Final = frozenset({"ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL"})
"""The last where the engine has turned IPv6 off."""
_IPV6: Final = (
    "import errno, socket; s = socket.socket(socket.AF_INET6); s.settimeout(20);"
    " print(errno.errorcode[s.connect_ex(('2001:db8::1', 80))])"
)
_MANY: Final = (
    "import socket; print(sum(not socket.create_connection(('api', 80), 20).close()"
    " for _ in range(1000)))"
)


def _is_first(pod: Pod) -> bool:
    """Begin to count what leaves and is not the relay's."""
    pod.net("nft", _LEFT)
    done = pod.app(f"{_READY} && {_ASK} && getent hosts api >/tmp/api")
    pod.address = pod.app("cut -d ' ' -f 1 /tmp/api").stdout
    return done.status == 0 and done.stdout.splitlines() == ["ready", HELLO]


def _outlives_server(pod: Pod) -> bool:
    return _outlives(pod, lambda state: pod.net_of("api", "ip", "link", "set", "eth0", state))


def _outlives_link(pod: Pod) -> bool:
    default = pod.net("ip", "route", "show", "default").split()

    def change(state: str) -> None:
        pod.net("ip", "link", "set", "eth0", state)
        if state == "up":
            pod.net("ip", "route", "add", *default)

    return _outlives(pod, change)


def _outlives(pod: Pod, change: Callable[[str], object]) -> bool:
    """Ask while a link is down, which comes up once the question has been there for a while."""
    change("down")
    argv = pod.engine.argv("exec", pod.named("app"), "sh", "-c", f"echo asks; {_ASK}")
    asking = subprocess.Popen(
        argv, env=dict(pod.engine.environment), cwd="/", text=True, stdout=subprocess.PIPE
    )
    assert asking.stdout is not None
    asking.stdout.readline()
    time.sleep(_OUTAGE_SECONDS)
    change("up")
    return asking.communicate()[0].strip() == HELLO


def _outlives_dns(pod: Pod) -> bool:
    """Have nobody answer the relay's questions, for longer than a program waits by default.

    The rule is where packets come in: a sender is told of those that are dropped on their way out.
    """
    drop = 'iifname "eth0" th sport 53 drop'
    if pod.engine.name == "docker":  # whose name server is another port of this loopback
        drop = "ip daddr 127.0.0.11 drop"
    table = f"table inet away {{ chain away {{ type filter hook input priority 0; {drop}; }}; }}"
    pod.net("nft", table)
    argv = pod.engine.argv("exec", pod.named("app"), "sh", "-c", "curl -sS -m 60 http://other/")
    asking = subprocess.Popen(
        argv, env=dict(pod.engine.environment), cwd="/", text=True, stdout=subprocess.PIPE
    )
    time.sleep(_DNS_SECONDS)
    pod.net("nft", "delete table inet away")
    return asking.communicate()[0].strip() == HELLO


def _is_alone(pod: Pod) -> bool:
    """Look at what has left since the first step, but for answers of the application's server."""
    shown = pod.net("nft", "list chain inet lab left")
    return "counter packets 0 " in shown


def _outlives_flush(pod: Pod) -> bool:
    pod.net("iptables", "-F")
    return pod.app(_ASK).is_answered


def _refuses_ipv6(pod: Pod) -> bool:
    done = pod.app(f'python3 -c "{_IPV6}"')
    return done.stdout in _AT_ONCE and done.seconds < _AT_ONCE_SECONDS


def _serves(pod: Pod) -> bool:
    own = pod.net("hostname", "--all-ip-addresses").split()[0]
    serve = "cd /srv && exec python3 -m http.server 8080"
    pod.engine.call("exec", "--detach", pod.named("app"), "sh", "-c", serve, check=True)
    ask = f"curl -sS --retry 20 --retry-connrefused -m 20 -o /dev/null http://{own}:8080/"
    return pod.engine.call("exec", "api", "sh", "-c", ask).returncode == 0


def _counts(pod: Pod) -> bool:
    """Open many connections; the metrics have as many as the record."""
    if pod.app(f'python3 -c "{_MANY}"').stdout != "1000":
        return False
    until = time.monotonic() + 20
    while time.monotonic() < until:
        shown = pod.app(f"curl -sS http://127.0.0.1:{HTTP_PORT}/metrics").stdout
        if 1000 <= _opened(shown) == _recorded(pod.state):
            return True
        time.sleep(0.2)
    return False


def _opened(metrics: str) -> int:
    lines = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    return int(float(lines.get("keepline_tcp_connections_opened_total", "0")))


def _recorded(state: Path) -> int:
    texts = [path.read_text() for path in state.rglob("*.jsonl")]
    return sum(text.count('"connection_opened"') for text in texts)


def _fails_closed(pod: Pod) -> bool:
    pod.engine.call("kill", "--signal", "KILL", pod.named("relay"), check=True)
    done = pod.app(f"curl -sS -m 20 http://{pod.address}/")
    return done.status == _REFUSED and done.seconds < _AT_ONCE_SECONDS


def _knows_again(pod: Pod) -> bool:
    pod.engine.call("start", pod.named("relay"), check=True)
    ready = pod.app(_READY)
    return ready.status == 0 and pod.app(f"curl -sS -m 20 http://{pod.address}/").is_answered


def _drains(pod: Pod) -> bool:
    pod.engine.call("stop", "--time", "60", pod.named("relay"), check=True)
    shown = pod.engine.call("inspect", "--format", "{{.State.ExitCode}}", pod.named("relay"))
    return shown.stdout.strip() == "0"


STEPS: Final[Mapping[str, Callable[[Pod], bool]]] = {
    "once the relay is ready, the application's first question and connection are answered": (
        _is_first
    ),
    "the server is away for 5 s: nothing is seen of it": _outlives_server,
    "the pod's own link and default route are away for 5 s: nothing is seen of it": _outlives_link,
    "DNS is away for 12 s: nothing is seen of it": _outlives_dns,
    "`iptables -F` in the pod: connections go on being relayed": _outlives_flush,
    "IPv6 fails at once": _refuses_ipv6,
    "a server of the application's is reached from outside": _serves,
    "1,000 connections: as many in `/metrics` as in the record": _counts,
    "no packet has left that is not the relay's": _is_alone,
    "the relay is killed: connections are refused at once": _fails_closed,
    "the relay starts again: an address of before stands for the same name": _knows_again,
    "the relay is stopped: it ends with status 0": _drains,
}
"""What is tried, in this order, each as it is told."""


def play(engine: Engine, kind: str) -> Iterator[tuple[str, str]]:
    """Yield what is tried in a pod of a kind, and how it came out: "yes", or "WRONG"."""
    try:
        pod = KINDS[kind][1](engine, kind)
        for text, step in STEPS.items():
            yield text, "yes" if step(pod) else "WRONG"
    except subprocess.CalledProcessError as error:
        yield f"{kind} runs", f"WRONG: {error}: {error.stderr}"
