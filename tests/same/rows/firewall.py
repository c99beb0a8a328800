"""A firewall or a router answers with ICMP: what it says is what the program is told, at once."""

from typing import Final

from tests.same.networks.situations import firewall
from tests.same.programs import curl, java, nc, node, python, shell
from tests.same.row import Differs, Row
from tests.support.internet.world import THIRD

_CODES: Final = {
    13: "communication administratively prohibited",
    10: "host administratively prohibited",
    9: "network administratively prohibited",
    3: "port unreachable",
    2: "protocol unreachable",
}
_OUTAGES: Final = {1: "host unreachable", 0: "network unreachable"}
_HELD: Final = Differs(
    "worse",
    "a router that has lost its way says so in an outage: held until the program's time-out",
)

ROWS: Final = [
    *(
        Row(
            situation=f"a firewall answers ICMP code {code}, {meaning}",
            network=firewall(code),
            program=python("connect", "wall.test 80 5", "create_connection"),
            marks={5.0: "after its time-out of 5 s"},
        )
        for code, meaning in _CODES.items()
    ),
    *(
        Row(
            situation=f"a firewall answers ICMP code 13, {_CODES[13]}",
            network=firewall(13),
            program=program,
            marks={5.0: "after its time-out of 5 s"},
        )
        for program in (
            curl("--connect-timeout 5", "http://wall.test/"),
            java("wall.test", 80, 5000),
            nc("-z -w 5 wall.test 80"),
            node("connect wall.test 80"),
            python("poll", f"{THIRD} 80 5", "non-blocking connect, poll"),
        )
    ),
    *(
        Row(
            situation=f"a router answers ICMP code {code}, {meaning}",
            network=firewall(code),
            program=curl("--connect-timeout 3", "http://wall.test/"),
            marks={3.0: "after its time-out of 3 s"},
            differs=_HELD,
        )
        for code, meaning in _OUTAGES.items()
    ),
    Row(
        situation="a router answers ICMP code 1, host unreachable; other hosts are reached",
        network=firewall(1),
        program=shell(
            "curl, 1 s later curl of another host",
            "curl -sSv --connect-timeout 8 http://wall.test/ 2>$HOME/wall & sleep 1;"
            " curl -sS http://v4.test/; echo; wait $!; status=$?; cat $HOME/wall; exit $status",
            r"^(hello)|failed: (.*)$",
        ),
        marks={1.0: "1 s later"},
    ),
]
