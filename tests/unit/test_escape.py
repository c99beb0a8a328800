"""The table of ways out: its verdicts, its page, and that docs/isolation.md has every row."""

from pathlib import Path

import pytest

from netns.levels import OPENINGS
from tests.escape import report, witnesses
from tests.escape.levels import CALLERS, CONTROL, OPTIONS
from tests.escape.plan import Line, Run
from tests.escape.row import (
    Closed,
    Open,
    Outcome,
    Row,
    everywhere,
    how,
    nowhere,
    until_strict,
    verdict,
)
from tests.escape.rows import ROWS

PAGE = Path(__file__).parents[2] / "docs/isolation.md"
OUT = Outcome(got_out=True, met="done")
KEPT = Outcome(got_out=False, met="EPERM")
BROKEN = Outcome(got_out=False, met="no end", is_broken=True)
LACKING = Outcome(got_out=False, met="no device", is_lacking=True)


def row(at: object = None, **options: object) -> Row:
    return Row(
        way="a way",
        program="module.function",
        witness=witnesses.heard,
        at=at or everywhere("nobody answers"),  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )


def test_what_gets_out_and_was_to_be_closed_is_wrong_and_the_other_way_round() -> None:
    assert verdict(row(), "default", "user", KEPT) == ""
    assert verdict(row(), "default", "user", OUT).startswith("it got out")
    opened = row(nowhere("files"))
    assert verdict(opened, "default", "user", OUT) == ""
    assert "named as open: files" in verdict(opened, "default", "user", KEPT)


def test_a_control_has_to_get_out_unless_the_machine_lacks_something() -> None:
    assert verdict(row(), CONTROL, "user", OUT) == ""
    assert verdict(row(), CONTROL, "user", KEPT).startswith("the control did not get out")
    assert verdict(row(may_lack="a device"), CONTROL, "user", KEPT) == ""
    assert verdict(row(control=("root",)), CONTROL, "user", KEPT) == ""


def test_what_was_not_tried_is_no_proof() -> None:
    assert verdict(row(), "default", "user", BROKEN).startswith("nothing was tried")
    assert verdict(row(nowhere("files")), "default", "user", LACKING) == ""


def test_user_and_root_may_differ_and_levels_may() -> None:
    at = {"default": (Closed("permissions"), Open("files")), "strict": Closed("masked")}
    differing = row(at)
    assert how(differing, "default") == "as user: permissions; as root: left open: files"
    assert how(differing, "strict") == "masked"
    assert differing.expected("default", "root") == Open("files")
    assert until_strict("files", "masked")["strict"] == Closed("masked")


@pytest.mark.parametrize(
    ("outcome", "cell"),
    [
        (OUT, "**open**"),
        (KEPT, "closed: EPERM"),
        (BROKEN, "**broken**: no end"),
        (LACKING, "not tried: no device"),
    ],
)
def test_a_cell(outcome: Outcome, cell: str) -> None:
    assert str(outcome) == cell


def test_the_page_is_read_as_it_is_written_and_errors_are_not_compared() -> None:
    line = Line("a way", "default", {"user": KEPT, "root": OUT}, "no | route", "module.function")
    text = report.written(line)
    assert report.rows_of("\n".join(report.page([text]))) == {("a way", "default"): text}
    assert report.agrees(text, text.replace("EPERM", "EACCES"))
    assert report.agrees(text, text.replace("closed: EPERM", "not tried: no device"))
    assert not report.agrees(text, text.replace("**open**", "closed: EPERM"))
    assert not report.agrees(text, "")


def test_an_outcome_that_was_open_once_is_not_forgotten() -> None:
    run = Run([row()], ["user"], ["default"], 1)
    run.outcomes["a way", "default", "user"] = OUT
    assert run.wrong() == [
        "a way: default, as user: it got out, and was to be closed: nobody answers"
    ]
    assert run.found_open() == set()


def test_each_row_has_a_name_of_its_own_and_says_why_it_has_no_control() -> None:
    assert len({each.way for each in ROWS}) == len(ROWS) >= 60
    for each in ROWS:
        assert set(each.control) == set(CALLERS) or each.no_control
        assert set(each.at) >= set(OPTIONS)


def test_rows_and_doctor_name_the_same_openings() -> None:
    named = {
        (opening.name, level, caller)
        for opening in OPENINGS
        for level in OPTIONS
        for caller in CALLERS
        if opening.is_open(level, is_root=caller == "root")
    }
    expected = {
        (each.name, level, caller)
        for one in ROWS
        for level in OPTIONS
        for caller in CALLERS
        if isinstance(each := one.expected(level, caller), Open)
    }
    assert expected == named


def test_the_page_in_the_docs_has_every_row_at_every_level() -> None:
    written = report.rows_of(PAGE.read_text())
    assert list(written) == [(each.way, level) for each in ROWS for level in OPTIONS]
    assert not any("**broken**" in line for line in written.values())
