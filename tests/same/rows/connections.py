"""Connections that come to something, in ways that few programs go, and those given up."""

from typing import Final

from tests.same.networks.situations import (
    Network,
    closes,
    counting,
    resets,
    resets_requests,
    served,
    serving_host,
    silent,
)
from tests.same.programs import curl, nc, node, python
from tests.same.row import Differs, Program, Row
from tests.support.internet.world import CLIENT

_WELL: Final = "all is well"
_CLOSED: Final = "a silent host, and connects that are closed while they wait"


async def syns(network: Network) -> str:
    """Return how many SYNs came to the silent host once its connects had been closed."""
    before, after = map(int, network.notes)
    return f"{after - before} SYNs after that"


def _closing(family: str, title: str) -> Program:
    words = f"silent.test 80 20 {family} v4.test"
    return python("closing", words, f"20 connects of {title}, closed")


ROWS: Final = [
    *(
        Row(situation=_WELL, network=served, program=program)
        for program in (
            curl(""),
            curl("--local-port 40000-40100"),
            curl("--interface 10.1.0.2"),
            curl("--interface eth0"),
            nc("-z v4.test 80"),
            node("fetch http://v4.test/"),
            python("poll", "203.0.113.10 80 5", "non-blocking connect, poll"),
            python("many", "203.0.113.10 80 1000 20", "1,000 connects at once"),
            python("mptcp", "v4.test 7", "MPTCP"),
            python("fastopen", "v4.test 7", "TCP fast open with data"),
            python("bound", "v4.test 7 10.1.0.2 45678", "own source address and port"),
        )
    ),
    *(
        Row(
            situation="the program listens on all addresses itself",
            network=served,
            program=python("own", f"{address} 8099", f"connect to {address}"),
        )
        for address in ("127.0.0.1", "localhost", CLIENT)
    ),
    Row(
        situation="a server on the host's own address",
        network=serving_host,
        program=curl("", f"http://{CLIENT}:81/"),
    ),
    Row(
        situation="a server on the host's loopback",
        network=serving_host,
        program=curl("", "http://127.0.0.1:81/"),
        differs=Differs("worse", "the loopback inside is another one; --host-port 81 leads there"),
    ),
    *(
        Row(
            situation=f"{what} at a port of the host's loopback, with --host-port 81,82",
            network=serving_host,
            program=program,
            options=("--host-port", "81,82"),
        )
        for what, program in (
            ("a server", curl("", "http://127.0.0.1:81/")),
            ("a server", node("fetch http://localhost:81/")),
            ("nobody", curl("", "http://127.0.0.1:82/")),
            ("nobody", nc("-z 127.0.0.1 82")),
            ("nobody", python("poll", "127.0.0.1 82 5", "non-blocking connect, poll")),
        )
    ),
    Row(
        situation="a server that answers after 3 s",
        network=served,
        program=curl("--connect-timeout 1", "http://v4.test/late/3"),
        marks={3.0: "after 3 s"},
    ),
    Row(
        situation="a server that answers after 3 s",
        network=served,
        program=curl("--max-time 2", "http://v4.test/late/3"),
        marks={2.0: "after its time-out of 2 s"},
    ),
    *(
        Row(situation="a server that closes at once", network=closes, program=program)
        for program in (
            curl("", "http://v4.test:81/"),
            python("listens", "v4.test 81", "recv"),
        )
    ),
    Row(
        situation="a server that resets once it was asked",
        network=resets_requests,
        program=curl("", "http://v4.test:81/"),
    ),
    Row(
        situation="a server that resets at once",
        network=resets,
        program=python("listens", "v4.test 81", "recv"),
    ),
    *(
        Row(
            situation=_CLOSED,
            network=counting,
            program=_closing(family, title),
            observe=syns,
            marks={7.0: "after 7 s"},
        )
        for family, title in (("v4", "IPv4"), ("v6", "dual-stack sockets"), ("mptcp", "MPTCP"))
    ),
    Row(
        situation="a silent host, and a connect given up by RST",
        network=silent,
        program=python("reset_own", "silent.test 80", "connect from its port again, 2 s"),
        marks={2.0: "after its time-out of 2 s"},
    ),
]
