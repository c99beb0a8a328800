"""Addresses: denied by a rule, or by none."""

from typing import Final

from tests.escape import witnesses
from tests.escape.arena import DENIED, LOOPBACK_PORT, METADATA, OTHER_PORT, PORT
from tests.escape.row import Closed, Open, Row, everywhere, until_strict
from tests.escape.stages.keepline import rebinding
from tests.support.internet.world import CLIENT, GATEWAY

_JUDGED: Final = "each address is judged before it is dialled"
_LOOPBACK: Final = "loopback is the namespace's own"
_PRIVATE: Final = "special-purpose addresses are denied unless a rule allows them"

ROWS: Final = [
    Row(
        way="a denied address",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere(_JUDGED),
        facts={"host": DENIED, "port": PORT},
    ),
    Row(
        way="a denied address, as a decimal, hexadecimal, octal or short number",
        program="dialling.numbers",
        witness=witnesses.heard,
        at=everywhere(_JUDGED),
    ),
    Row(
        way="a denied address, mapped or embedded into IPv6",
        program="dialling.mapped",
        witness=witnesses.heard,
        at=everywhere(_JUDGED),
    ),
    Row(
        way="a denied address, by a name that is not denied",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere(_JUDGED),
        facts={"host": "innocent.test", "port": PORT},
    ),
    Row(
        way="a denied address among others of a name",
        program="dialling.twice",
        witness=witnesses.heard,
        at=everywhere(_JUDGED),
        facts={"host": "several.test", "port": OTHER_PORT},
    ),
    Row(
        way="a name that comes to have a denied address, rebinding",
        program="dialling.twice",
        witness=witnesses.heard,
        at=everywhere(_JUDGED),
        stage=rebinding,
    ),
    Row(
        way="the host's loopback, in all its forms",
        program="dialling.unspecified",
        witness=witnesses.heard,
        at=everywhere(_LOOPBACK),
    ),
    Row(
        way="the host's loopback, by names that have such an address",
        program="dialling.loopback_names",
        witness=witnesses.heard,
        at=everywhere(_LOOPBACK),
        facts={"hosts": ["loop.test", "zero.test"]},
    ),
    Row(
        way="a server of the host's, at the host's own address",
        program="dialling.target",
        witness=witnesses.heard,
        at=until_strict("private networks", _PRIVATE),
        facts={"host": CLIENT, "port": LOOPBACK_PORT},
    ),
    Row(
        way="another host of the local network",
        program="dialling.target",
        witness=witnesses.heard,
        at=until_strict("private networks", _PRIVATE),
        facts={"host": GATEWAY, "port": PORT},
    ),
    Row(
        way="the metadata address of clouds",
        program="dialling.target",
        witness=witnesses.heard,
        at=until_strict("private networks", _PRIVATE),
        facts={"host": METADATA, "port": PORT},
    ),
    Row(
        way="the metadata address of clouds, by a name",
        program="dialling.target",
        witness=witnesses.heard,
        at={
            "default": Open("private networks"),
            "strict": Closed(_PRIVATE),
        },
        facts={"host": "metadata.test", "port": PORT},
    ),
    Row(
        way="the metadata address by a name, where names are allowed",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere("a rule for a name does not allow link-local addresses"),
        facts={"host": "metadata.test", "port": PORT},
        options=("--allow", "*.test"),
    ),
    Row(
        way="another port of an allowed name",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere("the port is judged with the name"),
        facts={"host": "v4.test", "port": PORT},
        options=("--allow", "v4.test:443"),
    ),
    Row(
        way="another name in the ClientHello to an allowed host",
        program="dialling.other_sni",
        witness=witnesses.heard,
        at=everywhere("in allowlist mode the server's name in TLS is judged too"),
        facts={"host": "v4.test"},
        options=("--allow", "v4.test"),
    ),
    Row(
        way="another name in the first request to an allowed host",
        program="dialling.other_host",
        witness=witnesses.heard,
        at=everywhere("in allowlist mode the first Host at port 80 is judged too"),
        facts={"host": "v4.test"},
        options=("--allow", "v4.test"),
    ),
]
