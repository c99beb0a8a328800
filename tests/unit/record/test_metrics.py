"""Metrics count events: what is in the record comes to the same numbers, once it is read."""

from collections.abc import Iterable
from copy import copy
from typing import cast

import pytest

from relay.record import events, metrics
from relay.record.events import AnyEvent
from relay.record.kinds import Kind
from relay.record.metrics import METRICS, Metric, Metrics
from relay.record.repeats import Repeats
from tests.support import metrics_table
from tests.support.counted import counted


def opened(number: int, to: str = "1.2.3.4") -> AnyEvent:
    return events.ConnectionOpened(connection=number, address=to, port=443)


def closed(number: int, how: events.How = "fin", kind: Kind = Kind.CLOSED) -> AnyEvent:
    return events.ConnectionClosed(
        connection=number,
        by="upstream",
        how=how,
        sent=10,
        received=20,
        seconds=1,
        idle=0,
        kind=kind,
    )


def failed(number: int, kind: Kind = Kind.REFUSED) -> AnyEvent:
    return events.DialFailed(connection=number, cause="no", seconds=0.5, kind=kind)


def of(known: Iterable[AnyEvent]) -> Metrics:
    found = Metrics()
    for event in known:
        found.note(event)
    return found


def numbers(found: Metrics) -> dict[str, dict[tuple[str, ...], int]]:
    return {each.name: dict(found.of(each)) for each in METRICS}


@pytest.mark.parametrize(
    ("known", "metric", "values"),
    [
        ([opened(1), opened(2), closed(1)], metrics.OPENED, {(): 2}),
        ([opened(1), opened(2), closed(1)], metrics.OPEN, {(): 1}),
        ([opened(1), closed(1)], metrics.CLOSED, {("upstream", "fin"): 1}),
        ([opened(1), closed(1)], metrics.SENT, {(): 10}),
        ([opened(1), closed(1)], metrics.RECEIVED, {(): 20}),
        ([opened(1), failed(1)], metrics.FAILED, {("refused",): 1}),
        ([opened(1), failed(1)], metrics.OPEN, {(): 0}),
        ([opened(1), events.ConnectionDenied(connection=1, rule="x")], metrics.OPEN, {(): 0}),
        (
            [events.ConnectionDenied(connection=1, rule="x", kind=Kind.POLICY)],
            metrics.DENIED,
            {("policy",): 1},
        ),
        ([closed(1, "reset", Kind.RESET)], metrics.LOSSES, {}),
        (
            [opened(1), closed(1, "reset", Kind.RESET)],
            metrics.LOSSES,
            {("visible", "reset"): 1},
        ),
        (
            [
                opened(1),
                events.DialHeld(connection=1, cause="x", kind=Kind.TIMEOUT),
                events.Dialled(connection=1, address="1.2.3.4", seconds=2.0, attempts=2),
            ],
            metrics.LOSSES,
            {("hidden", "unknown"): 1},
        ),
        ([events.Dialled(connection=1, address="x", seconds=2.0)], metrics.DIALS, {(): 1}),
        (
            [
                events.TurnedAway(where="a", cause="x", kind=Kind.RESOURCES, count=n)
                for n in (1, 2, 4)
            ],
            metrics.LOSSES,
            {("visible", "resources"): 4},
        ),
        (
            [events.FurtherNames(zone="a.test", what="failed", kind=Kind.TIMEOUT)],
            metrics.UNRESOLVED,
            {("timeout",): 1},
        ),
        ([events.FurtherNames(zone="a.test", what="withheld")], metrics.ASSIGNED, {(): 0}),
        ([events.NameAssigned(name="a.test", address="1.2.3.4")], metrics.ASSIGNED, {(): 1}),
        ([events.RulesStand()], metrics.STANDING, {(): 1}),
        ([events.RulesStand(), events.RulesLacking(cause="x")], metrics.STANDING, {(): 0}),
        (
            [
                opened(1),
                events.Fault(where="x", error="E", cause="c", connection=1, saw="a reset"),
            ],
            metrics.OPEN,
            {(): 0},
        ),
        (
            [
                events.UpstreamOpened(connection=1, host="a.test", port=443),
                events.UpstreamClosed(connection=1, cause="x"),
            ],
            metrics.OPENED,
            {(): 0},
        ),
    ],
)
def test_events_are_counted(
    known: list[AnyEvent], metric: Metric, values: dict[tuple[str, ...], int]
) -> None:
    assert dict(of(known).of(metric)) == values


@pytest.mark.parametrize(
    ("event", "metric"),
    [
        (events.DialHeld(connection=1, cause="x"), metrics.HELD),
        (events.Replaying(connection=1, cause="x"), metrics.REPLAYED),
        (events.NameRefused(name="a.test", type="A", rule="x"), metrics.REFUSED),
        (events.LookupFailed(name="a.test", type="A", cause="x"), metrics.UNRESOLVED),
        (events.LookupHeld(name="a.test", cause="x", seconds=1.0), metrics.NAMES_HELD),
        (events.ServedStale(name="a.test", cause="x"), metrics.STALE),
        (events.ResolverSilent(server="x", cause="x"), metrics.SILENT),
        (
            events.AskedAgain(connection=1, method="GET", path="/", cause="x", resends=1),
            metrics.RESENT,
        ),
        (
            events.RequestLost(
                connection=1, method="GET", path="/", cause="x", resends=1, saw="reset"
            ),
            metrics.GIVEN_UP,
        ),
    ],
)
def test_an_event_is_counted_by_its_kind(event: AnyEvent, metric: Metric) -> None:
    ((labels, value),) = of([event]).of(metric)
    assert (labels, value) == (("unknown",) if metric.labels else (), 1)


def test_the_record_comes_to_the_same_numbers() -> None:
    """Also where a program fails again and again, which the record has in few lines."""
    known: list[AnyEvent] = [events.TurnedAway(where="a", cause="x", count=1)]
    for number in range(1, 40):
        known += [opened(number), failed(number)]
    for number in range(40, 50):
        known += [opened(number, "5.6.7.8"), events.ConnectionDenied(connection=number, rule="x")]
    known += [events.NameRefused(name="a.test", type="A", rule="x", kind=Kind.POLICY)] * 9
    known += [opened(50), closed(50)]
    live = Metrics()
    repeats, record = Repeats(), list[AnyEvent]()
    for event in known:
        fresh = copy(event)
        live.note(fresh)
        record += cast("Iterable[AnyEvent]", repeats.passed(fresh))
    record += cast("Iterable[AnyEvent]", repeats.last())
    assert len(record) < len(known)
    read = Metrics()
    for event, times in counted(record):
        read.note(event, times)
    assert numbers(read) == numbers(live)


def test_names_are_unique_and_labels_few() -> None:
    assert len({each.name for each in METRICS}) == len(METRICS)
    assert {label for each in METRICS for label in each.labels} == {
        *("by", "how", "kind", "visibility")
    }


def test_the_table_is_what_is_counted() -> None:
    assert metrics_table.FILE.read_text() == metrics_table.rendered(), "try: scripts/schema"
