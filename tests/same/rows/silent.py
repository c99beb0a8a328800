"""A host says nothing: programs' own time-outs fire, and what waits longer than they is meant."""

from typing import Final

from tests.same.networks.names import two_addresses
from tests.same.networks.situations import (
    METADATA,
    cut_off,
    dropping,
    full,
    impatient,
    metadata,
    no_metadata,
    outage,
    silent,
)
from tests.same.programs import (
    apt,
    azure,
    bun_abort,
    curl,
    java,
    nc,
    node,
    perl,
    pip,
    python,
    requests,
    shell,
    ssh,
    wait_on,
    wget,
)
from tests.same.row import Differs, Row
from tests.support.internet.world import SERVER

_SILENT: Final = "a silent host"
_OWN: Final = {2.0: "after its time-out of 2 s"}
_OUTAGE: Final = Differs(
    "worse", "no route may be an outage, so it is held until the program's own time-out"
)
_STEPS: Final = "after 15 s, its patience, and what is left of the kernel's step"
_LONG_STEP: Final = "after 300 s, its patience, and what is left of the kernel's step"
_PATIENCE: Final = "a silent host may be an outage: it is dialled for as long as `patience` says"

ROWS: Final = [
    *(
        Row(situation=_SILENT, network=silent, program=program, marks=_OWN)
        for program in (
            curl("--connect-timeout 2", "http://silent.test/"),
            java("silent.test", 80, 2000),
            nc("-z -w 2 silent.test 80"),
            python("connect", "silent.test 80 2", "create_connection, time-out of 2 s"),
            python("poll", "198.51.100.10 80 2", "non-blocking connect, poll for 2 s"),
            python("many", "198.51.100.10 80 1000 2", "1,000 connects at once, poll for 2 s"),
            bun_abort("http://silent.test/"),
            python("option", "silent.test 80 TCP_USER_TIMEOUT 2000", "TCP_USER_TIMEOUT of 2 s"),
            python("streams", "silent.test 80 2", "asyncio.open_connection, time-out of 2 s"),
            ssh("-o ConnectTimeout=2", "silent.test"),
            pip("http://silent.test/"),
            requests("http://silent.test/"),
            wget("--connect-timeout=2", "http://silent.test/"),
            perl("silent.test", 80, 2),
            shell(
                "timeout 2 bash: </dev/tcp/silent.test/80",
                "timeout 2 bash -c '</dev/tcp/silent.test/80'",
                "(open)",
            ),
            shell(
                "curl --connect-timeout 2 of one mirror after the other",
                "for mirror in silent mirror; do"
                " curl -sS --connect-timeout 2 http://$mirror.test/ && break; done",
                "^(hello)$",
            ),
            apt(
                "-o Acquire::http::ConnectTimeout=2 -o Acquire::http::Timeout=2",
                "http://silent.test/",
            ),
        )
    ),
    Row(
        situation=f"{_SILENT}, `--dns real`",
        network=silent,
        program=curl("--connect-timeout 2", "http://silent.test/"),
        marks=_OWN,
        options=("--dns", "real"),
    ),
    Row(
        situation=f"{_SILENT}, and 5,000 connects to it that wait",
        network=silent,
        program=python("flood", "198.51.100.10 80 5000 mirror.test", "connect to another host"),
        marks=dict.fromkeys(range(6), "within 6 s"),
    ),
    Row(
        situation=_SILENT,
        network=silent,
        program=python("option", "silent.test 80 TCP_SYNCNT 1", "TCP_SYNCNT of 1"),
        marks=dict.fromkeys((3.0, 4.0, 5.0, 7.0), "when the kernel gives up"),
    ),
    Row(
        situation=_SILENT,
        network=silent,
        program=python("shut", "silent.test 80", "shutdown while it waits"),
    ),
    Row(
        situation=_SILENT,
        network=silent,
        program=wait_on("-t 3000 tcp:silent.test:80"),
        marks={3.0: "after its time-out of 3 s"},
    ),
    Row(
        situation=_SILENT,
        network=silent,
        program=node("fetch http://silent.test/"),
        marks={10.0: "after its time-out of 10 s"},
    ),
    Row(
        situation="a silent host; the kernel gives a connect up after 7 s, `--patience 15`",
        network=impatient,
        program=python("connect", "198.51.100.10 80", "create_connection"),
        marks={7.0: "after the kernel's 7 s"} | dict.fromkeys((15.0, 17.0, 19.0), _STEPS),
        options=("--patience", "15"),
        differs=Differs("worse", _PATIENCE),
    ),
    Row(
        situation=_SILENT,
        network=silent,
        program=python("connect", "198.51.100.10 80", "create_connection without a time-out"),
        marks={134.0: "after the kernel's 134 s", 136.0: "after the kernel's 134 s"}
        | dict.fromkeys(range(300, 380, 2), _LONG_STEP),
        differs=Differs("worse", _PATIENCE),
        limit=420,
        is_quick=False,
    ),
    Row(
        situation="the metadata address, dropped",
        network=no_metadata,
        program=curl("--connect-timeout 1", f"http://{METADATA}/latest/meta-data/"),
        marks={1.0: "after its time-out of 1 s"},
    ),
    Row(
        situation="the metadata address, dropped",
        network=no_metadata,
        program=azure(),
        marks={1.0: "after its time-out of 1 s"},
    ),
    Row(
        situation="the metadata address, answering",
        network=metadata,
        program=curl("--connect-timeout 1", f"http://{METADATA}/"),
    ),
    Row(
        situation="a queue of connections that is full",
        network=full,
        program=curl("--connect-timeout 2", "http://v4.test:81/"),
        marks=_OWN,
    ),
    Row(
        situation="a name with two addresses, the first silent",
        network=two_addresses,
        program=curl("--connect-timeout 4", "http://odd.test/"),
        marks={2.0: "after half of its time-out"},
        differs=Differs("better", "a name's addresses are dialled a quarter of a second apart"),
    ),
    Row(
        situation="the host has no route",
        network=cut_off,
        program=curl("--connect-timeout 2", f"http://{SERVER}/"),
        marks=_OWN,
        differs=_OUTAGE,
    ),
    Row(
        situation="the host has no route",
        network=cut_off,
        program=java(SERVER, 80, 2000),
        marks=_OWN,
        differs=_OUTAGE,
    ),
    Row(
        situation="the host has no route for 3 s",
        network=outage(3),
        program=curl("--connect-timeout 10", f"http://{SERVER}/"),
        marks={3.0: "once it has one"},
        differs=Differs("better", "an outage is held"),
    ),
    Row(
        situation="the host has no route for 3 s",
        network=outage(3),
        program=node(f"fetch http://{SERVER}/"),
        marks={3.0: "once it has one"},
        differs=Differs("better", "an outage is held"),
    ),
    Row(
        situation="a host that is silent for 8 s",
        network=dropping(8),
        program=node(f"fetch http://{SERVER}/"),
        marks={8.0: "once it is not", 10.0: "after its time-out of 10 s"},
        differs=Differs(
            "better", "it is dialled again more often than the kernel sends a SYN again"
        ),
    ),
    Row(
        situation="a host that is silent for 4 s",
        network=dropping(4),
        program=curl("--connect-timeout 20", f"http://{SERVER}/"),
        marks={4.0: "once it is not"},
    ),
]
