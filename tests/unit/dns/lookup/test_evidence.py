"""What a failed lookup is: an outage to be held, or a verdict to be passed on."""

import dns.rcode
import pytest

from relay.dns.lookup.errors import (
    FailureAnswerError,
    Meaning,
    RejectedError,
    ResolverError,
    UpstreamError,
)
from relay.dns.lookup.evidence import Hold, Limits, LookInto, PassOn, summed_up
from relay.record.kinds import Kind

LIMITS = Limits(outage=300, failing=30, restart=5)
SILENT = UpstreamError("no answer in 5 s", Kind.TIMEOUT)
NO_ROUTE = UpstreamError("Network is unreachable", Kind.UNREACHABLE)
REJECTED = RejectedError("Connection refused", Kind.REFUSED)
MALFORMED = UpstreamError("malformed answer: FormError", Kind.MALFORMED)
CUT_SHORT = UpstreamError("closed the connection without an answer", Kind.CLOSED)
NO_DESCRIPTOR = UpstreamError("Too many open files", Kind.RESOURCES)
STRANGE = UpstreamError("Structure needs cleaning", Kind.OTHER)


def says(rcode: dns.rcode.Rcode) -> FailureAnswerError:
    return FailureAnswerError(f"answered {rcode.name}", Kind.NAME_FAILURE, rcode)


REFUSED = says(dns.rcode.REFUSED)
SERVFAIL = says(dns.rcode.SERVFAIL)
NOTIMP = says(dns.rcode.NOTIMP)


@pytest.mark.parametrize(
    ("failures", "meaning", "rcode"),
    [
        ([REFUSED], Meaning.VERDICT, dns.rcode.REFUSED),
        ([NOTIMP], Meaning.VERDICT, dns.rcode.NOTIMP),
        ([says(dns.rcode.FORMERR)], Meaning.VERDICT, dns.rcode.FORMERR),
        ([says(dns.rcode.YXDOMAIN)], Meaning.VERDICT, dns.rcode.YXDOMAIN),
        ([REFUSED, NOTIMP], Meaning.VERDICT, dns.rcode.REFUSED),
        ([REJECTED, REFUSED], Meaning.VERDICT, dns.rcode.REFUSED),
        ([SERVFAIL], Meaning.FAILING, dns.rcode.SERVFAIL),
        ([SERVFAIL, REFUSED], Meaning.FAILING, dns.rcode.REFUSED),
        ([SERVFAIL, SILENT], Meaning.FAILING, dns.rcode.SERVFAIL),
        ([REFUSED, SILENT], Meaning.FAILING, dns.rcode.REFUSED),
        ([REJECTED, SERVFAIL], Meaning.FAILING, dns.rcode.SERVFAIL),
        ([MALFORMED], Meaning.FAILING, dns.rcode.SERVFAIL),
        ([CUT_SHORT], Meaning.FAILING, dns.rcode.SERVFAIL),
        ([NO_DESCRIPTOR], Meaning.LOCAL, dns.rcode.SERVFAIL),
        ([STRANGE, SILENT], Meaning.LOCAL, dns.rcode.SERVFAIL),
        ([REJECTED], Meaning.REJECTED, dns.rcode.SERVFAIL),
        ([REJECTED, REJECTED], Meaning.REJECTED, dns.rcode.SERVFAIL),
        ([SILENT], Meaning.SILENT, dns.rcode.SERVFAIL),
        ([NO_ROUTE, SILENT], Meaning.SILENT, dns.rcode.SERVFAIL),
        ([REJECTED, SILENT], Meaning.SILENT, dns.rcode.SERVFAIL),
    ],
)
def test_what_a_round_comes_to(
    failures: list[UpstreamError], meaning: Meaning, rcode: dns.rcode.Rcode
) -> None:
    error = summed_up({f"server{n}": failure for n, failure in enumerate(failures)})
    assert (error.meaning, error.rcode) == (meaning, rcode)
    assert error.cause == "; ".join(f"server{n}: {one}" for n, one in enumerate(failures))


def test_the_kind_is_that_of_a_server_that_said_something() -> None:
    assert summed_up({"a": SILENT, "b": SERVFAIL}).kind is Kind.NAME_FAILURE
    assert summed_up({"a": NO_ROUTE, "b": SILENT}).kind is Kind.UNREACHABLE


def failure(meaning: Meaning) -> ResolverError:
    return ResolverError("the cause", Kind.TIMEOUT, meaning, dns.rcode.SERVFAIL)


VERDICT, FAILING, QUIET, NOBODY = map(
    failure, [Meaning.VERDICT, Meaning.FAILING, Meaning.SILENT, Meaning.REJECTED]
)


def failed(hold: Hold, error: ResolverError, now: float, *, known: bool = True) -> bool:
    """Return whether a failed round is the end."""
    match hold.failed(error, now, has_answered=known):
        case PassOn():
            return True
        case LookInto():
            return False


def held(hold: Hold, error: ResolverError, *moments: float, known: bool = True) -> None:
    """Let rounds fail, with nothing else answered either."""
    for now in moments:
        assert not failed(hold, error, now, known=known)
        assert not hold.looked_into(now, is_answered=False), "a pause comes first"


def test_a_verdict_is_passed_on_at_once() -> None:
    passed_on = hold_once(VERDICT)
    assert (passed_on.cause, passed_on.meaning) == ("the cause", Meaning.VERDICT)


def hold_once(error: ResolverError, *, known: bool = True) -> ResolverError:
    """Return what is passed on after one round."""
    verdict = Hold(LIMITS, 0).failed(error, 0.01, has_answered=known)
    assert isinstance(verdict, PassOn)
    return verdict.error


@pytest.mark.parametrize("error", [FAILING, QUIET])
def test_a_failure_while_others_are_answered_is_the_names_own(error: ResolverError) -> None:
    hold = Hold(LIMITS, 0)
    assert not failed(hold, error, 0.01)
    assert hold.looked_into(0.02, is_answered=True), "asked again at once"
    verdict = hold.failed(error, 0.03, has_answered=True)
    assert isinstance(verdict, PassOn)
    assert verdict.error.meaning is Meaning.VERDICT
    assert verdict.error.kind is Kind.NAME_FAILURE
    assert verdict.error.cause == "the cause, while other names are answered"


def test_what_is_said_after_a_doubt_stays_as_it_was_said() -> None:
    hold = Hold(LIMITS, 0)
    assert not failed(hold, FAILING, 0.01)
    hold.looked_into(0.02, is_answered=True)
    verdict = hold.failed(VERDICT, 0.03, has_answered=True)
    assert isinstance(verdict, PassOn)
    assert verdict.error.cause == "the cause"


def test_silence_in_which_nothing_is_answered_is_held_as_an_outage() -> None:
    hold = Hold(LIMITS, 100)
    held(hold, QUIET, 105, 116, 399)
    assert hold.failed(QUIET, 400, has_answered=True) == PassOn(QUIET)


def test_failures_of_all_names_are_held_for_a_while() -> None:
    hold = Hold(LIMITS, 0)
    held(hold, FAILING, 0.01, 29)
    assert hold.failed(FAILING, 30, has_answered=True) == PassOn(FAILING)


def test_failures_after_silence_have_their_own_while() -> None:
    hold = Hold(LIMITS, 0)
    held(hold, QUIET, 5, 100)
    held(hold, FAILING, 111, 140)
    assert failed(hold, FAILING, 141)


def test_no_failure_is_held_for_longer_than_an_outage() -> None:
    hold = Hold(Limits(outage=10, failing=30, restart=30), 0)
    held(hold, FAILING, 9)
    assert failed(hold, FAILING, 10)


def test_what_this_host_lacks_is_told_at_once() -> None:
    assert hold_once(failure(Meaning.LOCAL)).meaning is Meaning.LOCAL


def test_a_resolver_that_does_not_run_is_told_at_once() -> None:
    assert hold_once(NOBODY, known=False).meaning is Meaning.VERDICT


def test_a_resolver_that_has_answered_may_start_again() -> None:
    hold = Hold(LIMITS, 0)
    held(hold, NOBODY, 0.001, 4.9)
    assert failed(hold, NOBODY, 5)


def test_a_resolver_that_is_back_may_remember_failures_for_a_while() -> None:
    hold = Hold(LIMITS, 0)
    held(hold, QUIET, 5, 11)
    for now in (17.0, 18.0, 21.9):
        assert not failed(hold, FAILING, now)
        assert not hold.looked_into(now, is_answered=True), "a pause comes first"
    assert failed(hold, FAILING, 22)


def test_what_is_answered_in_an_outage_counts_anew_after_the_next() -> None:
    hold = Hold(LIMITS, 0)
    held(hold, QUIET, 5)
    assert not failed(hold, QUIET, 11)
    assert not hold.looked_into(11, is_answered=True)
    held(hold, QUIET, 15)
    held(hold, QUIET, 30)
