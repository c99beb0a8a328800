"""The namespace as a usual machine: its addresses, its interface, servers of its own."""

from typing import Final

from tests.same.networks.machine import OTHER, named_host, page, second_address
from tests.same.networks.situations import served
from tests.same.programs import chromium, erlang, python
from tests.same.row import Differs, Row
from tests.support.internet.world import CLIENT, SERVER

_SERVER: Final = "the program listens"
_REDIRECTED: Final = Differs("worse", "servers at the host's own addresses are found with tproxy")

ROWS: Final = [
    Row(
        situation="a program looks at its network",
        network=served,
        program=python("shown", SERVER, "address, mask, interface and default route"),
    ),
    *(
        Row(
            situation=f"{_SERVER} at {at}",
            network=named_host,
            program=python("served", f"{host} 8080 {at}", f"connect to {host}:8080"),
        )
        for at, host in (
            ("0.0.0.0", CLIENT),
            ("0.0.0.0", "me.test"),
            (CLIENT, CLIENT),
            (CLIENT, "me.test"),
            ("me.test", CLIENT),
            ("me.test", "me.test"),
        )
    ),
    Row(
        situation=f"{_SERVER} at 0.0.0.0, `--intercept redirect`",
        network=served,
        options=("--intercept", "redirect"),
        program=python("served", f"{CLIENT} 8080 0.0.0.0", f"connect to {CLIENT}:8080"),
        differs=_REDIRECTED,
    ),
    Row(
        situation=f"{_SERVER} at all addresses, and the other host has that port too",
        network=named_host,
        program=python("served", "v4.test 8081 0.0.0.0", "connect to v4.test:8081"),
    ),
    Row(
        situation=f"{_SERVER}, and the host gets another address 1 s later",
        network=second_address,
        program=python("later", f"{OTHER} 8080", f"connect to {OTHER}:8080 until it answers"),
        marks={1.0: "when it has"},
    ),
    Row(
        situation="the broadcast address of the host's network",
        network=served,
        program=python("connect", "10.1.0.255 80 2", "connect"),
    ),
    Row(
        situation="two nodes of Erlang at the host's address",
        network=served,
        program=erlang(CLIENT),
        is_large=True,
    ),
    Row(
        situation="a page that asks whether the browser is online",
        network=page,
        program=chromium("http://v4.test:81/files/online.html"),
        is_large=True,
    ),
]
