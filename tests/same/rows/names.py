"""Names: what a resolver answers is passed on at once, for an outage is what has no answer."""

from typing import Final

from tests.same.networks.names import (
    dead_stub,
    failed_name,
    hosts_file,
    only_ipv6,
    refused_name,
    resolves_to,
    search_domains,
    second_resolver,
    silent_resolver,
    vanishing,
)
from tests.same.networks.situations import served
from tests.same.programs import bun, curl, getent, git, java, musl, node, python, shell, ssh
from tests.same.row import Differs, Program, Row, Situation

_OLD_MUSL: Final = Differs(
    "worse",
    "musl before 1.2.4 waits through outages, and knows no other end",
)
_MUSL: Final = {5.0: "after the 5 s of its libc"}


def _asked(name: str) -> list[Program]:
    return [
        getent(name),
        curl("", f"http://{name}/"),
        node(f"lookup {name}"),
        python("connect", f"{name} 80", "create_connection"),
        musl(name, 80),
    ]


def _answered(situation: str, network: Situation, name: str) -> list[Row]:
    """Make rows in which the resolvers have an answer, if not a good one."""
    return [
        Row(
            situation=situation,
            network=network,
            program=program,
            marks=_MUSL,
            differs=_OLD_MUSL if program == musl(name, 80) else None,
        )
        for program in _asked(name)
    ]


ROWS: Final = [
    *(
        Row(situation="a name that does not exist", network=served, program=program)
        for program in (
            *_asked("none.test"),
            java("none.test", 80, 2000),
            bun("fetch http://none.test/"),
            ssh("", "none.test"),
            git("http://none.test/a.git"),
        )
    ),
    *_answered("REFUSED for one name, as of a filter", refused_name, "bad.test"),
    *_answered("SERVFAIL for one name", failed_name, "bad.test"),
    *(
        Row(
            situation="two search domains that are SERVFAIL, ndots 5",
            network=search_domains,
            program=program,
        )
        for program in (getent("v4.test"), curl("", "http://v4.test/"))
    ),
    *_answered("a local resolver that does not run", dead_stub, "v4.test"),
    Row(
        situation="a name in /etc/hosts",
        network=hosts_file,
        program=curl("", "http://intern.test/"),
    ),
    Row(
        situation="the first of two resolvers does not run",
        network=second_resolver,
        program=curl("", "http://v4.test/"),
    ),
    Row(
        situation="a resolver that is silent",
        network=silent_resolver,
        program=curl("--connect-timeout 3", "http://v4.test/"),
        marks={3.0: "after its time-out of 3 s"},
    ),
    Row(
        situation="a name that stops to exist, its old address still served",
        network=vanishing,
        program=shell(
            "curl, 2 s later curl again",
            "curl -sS http://gone.test/; echo; sleep 2; curl -sS http://gone.test/",
            r"^(hello)$|(Could not resolve host)|(Failed to connect)",
        ),
        marks={2.0: "after its 2 s"},
    ),
    Row(
        situation="a name that stops to exist, its old address still served",
        network=vanishing,
        program=python("again", "gone.test 80", "connect twice to the address it had, 2 s apart"),
        marks={2.0: "after its 2 s"},
        differs=Differs(
            "worse", "an address stands for its name, which is looked up for each connect"
        ),
    ),
    *(
        Row(
            situation=f"a name whose only address is {address}",
            network=resolves_to(address),
            program=curl("", "http://odd.test:81/"),
        )
        for address in ("0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1")
    ),
    Row(
        situation="a name that has IPv6 addresses alone",
        network=only_ipv6,
        program=curl("", "http://v6.test/"),
        differs=Differs("worse", "keepline is there to keep programs off IPv6"),
    ),
]
