"""The way to names: middleboxes, resolv.conf, long chains of aliases, and odd addresses."""

from typing import Final

from dns import rcode

from tests.same.networks.dns import (
    alias_loop,
    aliases,
    counted,
    large,
    middlebox,
    other_sender,
    quiet_name,
    resolv_conf,
    resolvers_away,
    serving,
    slow,
    tcp_alone,
    without_opt,
)
from tests.same.networks.names import dead_stub
from tests.same.programs import bun, curl, getent, java, musl, node, python
from tests.same.row import Differs, Program, Row, Situation
from tests.support.internet.servers.zone import Trouble
from tests.support.internet.world import NAMES, OTHER_NAMES

_DROPPED: Final = middlebox(Trouble(silent=True, with_edns=True))


def _failing(code: rcode.Rcode) -> Situation:
    return middlebox(Trouble(rcode=code, with_edns=True))


_MISCOUNTED: Final = "answers that count records they lack"
_SPOILT: Final = {
    "SERVFAIL to what has EDNS": _failing(rcode.SERVFAIL),
    "REFUSED to what has EDNS": _failing(rcode.REFUSED),
    "FORMERR to what has EDNS": _failing(rcode.FORMERR),
    "NOTIMP to what has EDNS": _failing(rcode.NOTIMP),
    "bytes appended to answers": middlebox(Trouble(spoil=lambda answer: answer + bytes(9))),
    _MISCOUNTED: middlebox(Trouble(spoil=counted)),
    "answers with EDNS cut": middlebox(Trouble(spoil=without_opt, with_edns=True)),
}

_ALIAS: Final = curl("", "http://alias.test/")
_CONNECT: Final = python("connect", "alias.test 80", "create_connection")
_CURL: Final = curl("", "http://v4.test/")


def _of(situation: str, network: Situation, *programs: Program) -> list[Row]:
    return [Row(situation=situation, network=network, program=each) for each in programs]


_CONF: Final = {
    "four resolvers, of which three count": (
        f"nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver {NAMES}\n"
    ),
    "rotate, a stub on loopback and one elsewhere": (
        f"nameserver 127.0.0.53\nnameserver {OTHER_NAMES}\noptions rotate\n"
    ),
    "options of systemd-resolved": (
        "# by hand\n\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"
    ),
    "no-aaaa, single-request": (
        f"nameserver {NAMES}\noptions no-aaaa single-request single-request-reopen\n"
    ),
    "an IPv6 resolver first, odd blanks": (
        f"nameserver \t::1\n nameserver 192.0.2.1\nnameserver \t {NAMES} \t# ours\n"
    ),
    "a resolver written as 127.53": "nameserver 127.53\n",
}

ROWS: Final = [
    *_of(
        "a middlebox that drops questions with EDNS",
        _DROPPED,
        _CURL,
        getent("v4.test"),
        node("lookup v4.test"),
        bun("fetch http://v4.test/"),
        java("v4.test", 80, 2000),
        musl("v4.test", 80),
        python("connect", "v4.test 80", "create_connection"),
    ),
    *(row for words, network in _SPOILT.items() for row in _of(words, network, _CURL)),
    *(
        row
        for words, network in _SPOILT.items()
        if words != _MISCOUNTED
        for row in _of(words, network, node("texts v4.test"))
    ),
    Row(
        situation=_MISCOUNTED,
        network=_SPOILT[_MISCOUNTED],
        program=node("texts v4.test"),
        differs=Differs("better", "what can be read of an answer is passed on"),
    ),
    *_of("40 aliases", aliases(40), _ALIAS, getent("alias.test"), musl("alias.test", 80)),
    *_of("an alias of itself", alias_loop, _ALIAS, node("lookup alias.test"), _CONNECT),
    *(
        row
        for words, text in _CONF.items()
        for row in _of(words, resolv_conf(text), _CURL, getent("v4.test"))
    ),
    *(
        Row(
            situation=f"a name that its resolver is silent about{words}",
            network=resolv_conf(f"nameserver {NAMES}\n{options}", quiet_name),
            program=getent("quiet.test"),
            marks={seconds: f"after {seconds:g} s"},
        )
        for words, options, seconds in (
            ("", "", 10.0),
            (", timeout:1", "options timeout:1\n", 2.0),
            (", timeout:2 attempts:3", "options timeout:2 attempts:3\n", 6.0),
        )
    ),
    Row(
        situation="a name that its resolver is silent about",
        network=resolv_conf(f"nameserver {NAMES}\n", quiet_name),
        program=musl("quiet.test", 80),
        marks={5.0: "after the 5 s of its libc", 10.0: "after 10 s"},
        differs=Differs("worse", "until other names are answered twice, it may be an outage"),
    ),
    *_of(
        "use-vc, and UDP leads nowhere",
        resolv_conf(f"nameserver {NAMES}\noptions use-vc\n", tcp_alone),
        _CURL,
    ),
    *_of(
        "a name with 51 addresses",
        resolv_conf(f"nameserver {NAMES}\n", large),
        _CURL,
        node("resolve v4.test"),
    ),
    Row(
        situation="a stub that does not run",
        network=dead_stub,
        program=node("resolve v4.test"),
        differs=Differs("worse", "SERVFAIL is the word by which a name server says so"),
    ),
    Row(
        situation="a resolver that answers from another address, and a second one",
        network=other_sender,
        program=_CURL,
        marks={2.0: "after 2 s", 5.0: "after the 5 s of its libc"},
        differs=Differs("better", "the second one is asked after 2 s"),
    ),
    *(
        Row(
            situation="resolvers that are away for 8 s",
            network=resolvers_away(8),
            program=program,
            marks={5.0: "after the 5 s of its libc", 8.0: "after 8 s", 10.0: "after 10 s"},
            differs=Differs("better", "names are held through an outage"),
        )
        for program in (_CURL, getent("v4.test"), musl("v4.test", 80))
    ),
    *_of(
        "a resolver that takes 6 s",
        resolv_conf(f"nameserver {NAMES}\n", slow(6)),
        _CURL,
    ),
    *(
        Row(
            situation=f"a name whose address is {address}, served{words}",
            network=serving(address),
            program=curl("", "http://odd.test/"),
            options=options,
        )
        for address in ("198.18.0.77", "240.0.0.1", "100.64.0.9")
        for words, options in {"": (), ", --dns real": ("--dns=real",)}.items()
    ),
]
