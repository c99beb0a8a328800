"""Nobody listens: a refusal is an answer, and what polls for a port must not find it open."""

from typing import Final

from tests.same.networks.situations import later, served, stopping
from tests.same.programs import (
    apt,
    bun,
    curl,
    dev_tcp,
    git,
    java,
    musl,
    nc,
    node,
    npm,
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

_NOBODY: Final = "nobody listens"
_LATER: Final = "nobody listens yet, then somebody does"
_OWN: Final = {3.0: "after its time-out of 3 s"}
_ONCE: Final = {3.0: "once it does"}
_AT_81: Final = "http://v4.test:81/"
_NC_SAYS: Final = r"failed: (.*)$|(succeeded!)|(timed out)"

ROWS: Final = [
    *(
        Row(situation=_NOBODY, network=served, program=program)
        for program in (
            nc("-z v4.test 81"),
            dev_tcp("v4.test", 81),
            curl("", "http://v4.test:81/"),
            java("v4.test", 81, 2000),
            node("connect v4.test 81"),
            node("fetch http://v4.test:81/"),
            bun("fetch http://v4.test:81/"),
            musl("v4.test", 81),
            python("poll", "203.0.113.10 81 5", "non-blocking connect, poll"),
            python("many", "203.0.113.10 81 1000 20", "1,000 connects at once"),
            python("mptcp", "v4.test 81", "MPTCP"),
            python("fastopen", "v4.test 81", "TCP fast open with data"),
            python("bound", "v4.test 81 0.0.0.0 45678", "own source port"),
            ssh("", "v4.test"),
            git("http://v4.test:81/a.git"),
            apt("", "http://v4.test:81/"),
            npm("http://v4.test:81/"),
            pip("http://v4.test:81/"),
            requests("http://v4.test:81/"),
            wget("", "http://v4.test:81/"),
            perl("v4.test", 81, 2),
            python("streams", "v4.test 81 2", "asyncio.open_connection, time-out of 2 s"),
            nc("-z v4.test 81-90"),
        )
    ),
    Row(
        situation=_NOBODY,
        network=served,
        program=wait_on("-t 3000 tcp:v4.test:81"),
        marks=_OWN,
    ),
    Row(
        situation=_LATER,
        network=later(3),
        program=wait_on("-t 20000 tcp:v4.test:81"),
        marks=_ONCE,
    ),
    Row(
        situation=_LATER,
        network=later(3),
        program=curl("--retry 9 --retry-connrefused --retry-delay 1", "http://v4.test:81/"),
        marks=_ONCE,
    ),
    Row(
        situation=_LATER,
        network=later(3),
        program=shell(
            "bash: until </dev/tcp/v4.test/81; do sleep 0.5; done",
            "until (exec 3<>/dev/tcp/v4.test/81) 2>/dev/null; do sleep 0.5; done; echo open",
            "^(open)$",
        ),
        marks=_ONCE,
    ),
    Row(
        situation=f"{_NOBODY}, `--dns real`",
        network=served,
        program=curl("", "http://v4.test:81/"),
        options=("--dns", "real"),
    ),
    Row(
        situation=f"{_NOBODY}, `--intercept redirect`",
        network=served,
        program=nc("-z v4.test 81"),
        options=("--intercept", "redirect"),
        differs=Differs("worse", "where SYNs cannot be held, the kernel accepts first"),
    ),
    Row(
        situation="a server that was reached and stops, for 3 s",
        network=stopping(3),
        program=shell(
            "curl, 2.5 s later curl --connect-timeout 10",
            f"curl -sS {_AT_81}; echo; sleep 2.5; curl -sS --connect-timeout 10 {_AT_81}; echo",
            "^(hello)$",
        ),
        marks={2.5: "2.5 s later", 3.0: "once it listens again"},
        differs=Differs("better", "what was reached in this session is thought to come back"),
    ),
    Row(
        situation="a server that was reached and stops, for good",
        network=stopping(),
        program=shell(
            "curl, 2.5 s later nc -z -w 2",
            f"curl -sS {_AT_81}; sleep 2.5; nc -z -v -w 2 v4.test 81",
            _NC_SAYS,
        ),
        marks={2.5: "2.5 s later", 4.5: "2 s after that, its time-out"},
        differs=Differs("worse", "what was reached in this session is thought to come back"),
    ),
    Row(
        situation="a server that was reached by a burst of connections and stops",
        network=stopping(after=20),
        program=python("burst", "v4.test 81 20", "20 connections, 0.5 s later one more, 2 s"),
        marks={2.5: "2 s after that, its time-out"},
        differs=Differs(
            "worse",
            "the SYNs of a burst are not held, for 2 s the kernel accepts first; and what was"
            " reached is thought to come back",
        ),
    ),
]
