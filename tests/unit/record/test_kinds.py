"""Every cause has a kind: each is made somewhere, and each event that can have one gets it."""

import ast
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from relay.record import kinds
from relay.record.events import AnyEvent, CausedEvent, LossEvent, ServedStale, SessionStarted
from relay.record.kinds import ClosedError, ForgottenError, Kind

RELAY = Path(__file__).parents[3] / "relay"
EVENTS: tuple[type[AnyEvent], ...] = get_args(AnyEvent)


def nodes() -> Iterator[ast.AST]:
    for path in RELAY.rglob("*.py"):
        if path != RELAY / "record/kinds.py":
            yield from ast.walk(ast.parse(path.read_text()))


def test_every_event_that_may_be_a_loss_has_a_kind() -> None:
    can_be_lost = [event for event in EVENTS if "is_loss" in vars(event)]
    assert all(issubclass(event, CausedEvent) for event in can_be_lost)
    assert all(issubclass(event, CausedEvent) for event in EVENTS if hasattr(event, "cause"))
    assert not [event for event in EVENTS if issubclass(event, LossEvent) and event in can_be_lost]


def test_every_event_that_has_a_kind_is_made_with_one() -> None:
    caused = {event.__name__ for event in EVENTS if issubclass(event, CausedEvent)}
    made = [
        node
        for node in nodes()
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in caused
    ]
    assert {node.func.id for node in made if isinstance(node.func, ast.Name)} == caused
    for node in made:
        assert "kind" in {keyword.arg for keyword in node.keywords}, ast.unparse(node)


def test_every_kind_is_made_somewhere() -> None:
    named = {
        node.attr
        for node in nodes()
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "Kind"
    }
    by_error = {*kinds._OF_ERRNO.values(), *kinds._OF_TYPE.values(), kinds.kind_of_errno(None)}
    assert {Kind[name] for name in named} | by_error == set(Kind)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ECONNREFUSED, "x"), Kind.REFUSED),
        (OSError(errno.EPIPE, "x"), Kind.RESET),
        (OSError(errno.ETIMEDOUT, "x"), Kind.TIMEOUT),
        (ForgottenError(errno.ETIMEDOUT, "x"), Kind.FORGOTTEN),
        (ClosedError(errno.ECONNRESET, "x"), Kind.CLOSED),
        (OSError(errno.ENETDOWN, "x"), Kind.UNREACHABLE),
        (OSError(errno.EADDRNOTAVAIL, "x"), Kind.ADDRESS_GONE),
        (OSError(errno.EMFILE, "x"), Kind.RESOURCES),
        (OSError(errno.EPERM, "x"), Kind.NOT_PERMITTED),
        (OSError(errno.EPROTO, "x"), Kind.OTHER),
        (OSError("without a number"), Kind.OTHER),
    ],
)
def test_the_kind_of_a_sockets_error(error: OSError, kind: Kind) -> None:
    assert kinds.kind_of(error) is kind


def test_a_failure_between_parts_has_both() -> None:
    error = kinds.CausedError("no answer", Kind.TIMEOUT)
    assert (str(error), error.cause, error.kind) == ("no answer", "no answer", Kind.TIMEOUT)


def test_a_log_of_a_version_without_kinds_can_be_read() -> None:
    decode = msgspec.json.Decoder(AnyEvent).decode
    stale = decode(b'{"event":"served_stale","at":1.5,"name":"a.test","cause":"no answer"}')
    assert stale == ServedStale(at=1.5, name="a.test", cause="no answer")
    assert isinstance(stale, ServedStale)
    assert stale.kind is Kind.UNKNOWN
    started = decode(
        b'{"event":"session_started","at":1.5,"session":"s","version":"0.1.0","program":"curl",'
        b'"pid":1,"uid":1,"intercept":"tproxy","dns":"real"}'
    )
    assert isinstance(started, SessionStarted)
    assert started.format == 0


def test_a_kind_is_a_word_in_json() -> None:
    event = ServedStale(name="a.test", kind=Kind.NAME_FAILURE, cause="SERVFAIL")
    assert b'"kind":"name-failure"' in msgspec.json.encode(event)


def test_a_kind_of_a_later_version_is_unknown() -> None:
    line = b'{"event":"dial_held","connection":1,"cause":"x","kind":"of-tomorrow"}'
    assert msgspec.json.decode(line, type=AnyEvent).kind is Kind.UNKNOWN
