"""An agent at an API of other manners than its own, and answers that are not quite HTTP."""

from collections import Counter
from typing import Final

from tests.same.networks.gateway import (
    alerts,
    answers_over_tls,
    lacks_certificate,
    router,
    wants_certificate,
)
from tests.same.networks.situations import Network
from tests.same.programs import claude, node
from tests.same.row import Differs, Row, Situation
from tests.support.internet.servers.api.manners import Manner

_ON: Final = ("--gateway=tls",)
_HI: Final = claude("Say hi.")


async def _asked(network: Network) -> str:
    """Return how often the API was asked for what."""
    times = Counter(network.notes)
    return ", ".join(f"{what} ({count})" for what, count in sorted(times.items()))


def _row(situation: str, network: Situation) -> Row:
    return Row(
        situation=f"an API {situation}",
        network=network,
        program=_HI,
        options=_ON,
        observe=_asked,
    )


_AT_ONCE: Final = Differs(
    "better", "what cannot change is told at once; alone, the client tries for minutes"
)

ROWS: Final = [
    *(
        _row(situation, router(manner))
        for situation, manner in {
            "as usual": "the usual",
            "whose stream lacks message_stop": "no message_stop",
            "whose stream lacks it, by Content-Length": "no message_stop, by Content-Length",
            "whose stream lacks it, until the connection ends": "no message_stop, by close",
            "whose stream ends with [DONE] instead": "[DONE] for message_stop",
            "whose events have no event field": "no event fields",
            "whose stream has CR LF": "CR LF",
            "whose stream has comments": "comments",
            "whose stream lacks content_block_stop": "no content_block_stop",
            "whose stream lacks message_delta": "no message_delta",
            "whose stop_reason is null": "stop_reason null",
            "whose stream lacks its last empty line": "no empty line at the end",
            "that answers a stream's request by a document": "a document for a stream",
            "that compresses its stream all the same": "gzip",
            "with 103 before its head": "103 before the head",
            "with trailers": "trailers",
            "with an error event of its own": "an error of its own",
            "that answers HEAD with a body": "a HEAD answered with a body",
        }.items()
    ),
    *(
        Row(
            situation=f"an API that is silent for 65 s, {where}",
            network=router(Manner(pauses=pauses)),
            program=_HI,
            options=_ON,
            observe=_asked,
            marks={65.0: "after 65 s"},
            limit=100.0,
            is_quick=False,
        )
        for where, pauses in {
            "before its head": (65.0, 0.0),
            "within its stream": (0.0, 65.0),
        }.items()
    ),
    _row("whose front wants a certificate", wants_certificate),
    *(
        Row(
            situation=f"an API whose front {situation}",
            network=network,
            program=_HI,
            options=_ON,
            differs=_AT_ONCE,
        )
        for situation, network in {
            "wants a certificate that is not there": lacks_certificate,
            "refuses TLS by an alert": alerts,
        }.items()
    ),
    Row(
        situation="a space before a field's colon",
        network=answers_over_tls(b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 5\r\n\r\nhello"),
        program=node("fetch https://router.test/"),
        options=(*_ON, "--gateway-hosts=router.test"),
        observe=_asked,
    ),
]
