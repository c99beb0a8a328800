"""Questions to name servers for denied names."""

from typing import Final

from tests.escape import witnesses
from tests.escape.arena import HIDDEN, PORT
from tests.escape.row import Row, everywhere
from tests.escape.stages.keepline import known_address

_DENIED: Final = "refused before a question leaves"
_SPELLINGS: Final = (
    ("TOKEN", "denied", "test"),
    ("TOKEN", "DENIED", "tEST"),
    ("\x01", "TOKEN", "denied", "test"),
    ("a.b", "TOKEN", "denied", "test"),
    ("$", "TOKEN", "denied", "test"),
    ("\\", "TOKEN", "denied", "test"),
    ("*", "TOKEN", "denied", "test"),
    ("\xff", "TOKEN", "denied", "test"),
    (" ", "TOKEN", "denied", "test"),
)

ROWS: Final = [
    Row(
        way="a denied name, in capitals and with characters that are escaped",
        program="names.denied",
        witness=witnesses.asked,
        at=everywhere(_DENIED),
        facts={"spellings": _SPELLINGS},
    ),
    Row(
        way="a denied name, by each type of record",
        program="names.kinds",
        witness=witnesses.asked,
        at=everywhere(_DENIED),
    ),
    Row(
        way="a denied name over TCP, or as a second question",
        program="names.over_tcp",
        witness=witnesses.asked,
        at=everywhere(_DENIED),
    ),
    Row(
        way="a denied name by libc, also with its last dot",
        program="names.by_libc",
        witness=witnesses.asked,
        at=everywhere(_DENIED),
    ),
    Row(
        way="a denied name, asked of other name servers",
        program="names.elsewhere",
        witness=witnesses.asked,
        at=everywhere("every name server is keepline's"),
    ),
    Row(
        way="a denied name behind an alias, CNAME",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere("each name on the way is judged"),
        facts={"host": "alias.test", "port": PORT},
    ),
    Row(
        way="a denied name behind two aliases",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere("each name on the way is judged"),
        facts={"host": "far.test", "port": PORT},
    ),
    Row(
        way="names as a channel, where only some are allowed",
        program="names.channel",
        witness=witnesses.asked,
        at=everywhere(_DENIED),
        options=("--allow", "v4.test"),
    ),
    Row(
        way="the address of a denied name, where names are denied",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere("a literal address needs a rule for addresses"),
        facts={"host": HIDDEN, "port": PORT},
        options=("--allow", "v4.test"),
    ),
    Row(
        way="a stand-in address that another session has shown",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere("it stands for the same name, which is judged"),
        stage=known_address,
        options=("--allow", "v4.test"),
    ),
]
