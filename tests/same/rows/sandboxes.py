"""Programs that make sandboxes of their own, keepline among them, and one that traces another."""

from typing import Final

from tests.same.networks.situations import served
from tests.same.programs import CURL_SAYS
from tests.same.row import Program, Row
from tests.support.command.keepline import Keepline

_INSIDE: Final = "echo said: $(cut -d: -f1 -s /proc/net/dev)"
"""Tells which interfaces a sandbox has whose network is its own: lo alone."""

_SANDBOXES: Final = (
    ("unshare", "--user", "--map-root-user", "--net"),
    ("unshare", "--user", "--map-current-user", "--net", "--mount", "--ipc", "--uts"),
    ("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--unshare-all"),
    ("bwrap", "--dev-bind", "/", "/", "--unshare-user", "--uid", "1000", "--unshare-net"),
)

ROWS: Final = [
    *(
        Row(
            situation="a sandbox of its own",
            network=served,
            program=Program(" ".join([*words, "cat /proc/net/dev"]), (*words, "sh", "-c", _INSIDE)),
        )
        for words in _SANDBOXES
    ),
    Row(
        situation="keepline in it",
        network=served,
        program=Program(
            "keepline run -- curl http://v4.test/",
            (*Keepline.argv("run", "--", "curl", "-sSv", "http://v4.test/"),),
            CURL_SAYS,
            start=1.0,
        ),
    ),
    Row(
        situation="a tracer",
        network=served,
        program=Program(
            "strace -f curl http://v4.test/",
            ("strace", "-f", "-o", "/dev/null", "curl", "-sSv", "http://v4.test/"),
            CURL_SAYS,
        ),
    ),
]
