"""The table of what is the same: its words, its verdicts, and that docs/same.md has every row."""

from pathlib import Path

import pytest

from tests.same import report
from tests.same.networks.situations import served
from tests.same.plan import Line
from tests.same.row import Differs, Outcome, Program, Row, outcome, verdict, when
from tests.same.rows import ROWS

PAGE = Path(__file__).parents[2] / "docs/same.md"
MARKS = {2.0: "after its time-out of 2 s"}
REFUSED = Outcome(1, "refused", "at once")
OPEN = Outcome(0, "open", "at once")


def row(differs: Differs | None = None) -> Row:
    program = Program("poke host", ("poke", "host"), r"^said: (.*)$|(open)")
    return Row(situation="well", network=served, program=program, marks=MARKS, differs=differs)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "at once"),
        (0.9, "at once"),
        (1.1, "after about 1 s"),
        (1.95, "after its time-out of 2 s"),
        (2.8, "after its time-out of 2 s"),
        (4.6, "after about 5 s"),
        (1000, "after about 600 s"),
    ],
)
def test_a_time_is_that_of_the_mark_before_it(seconds: float, words: str) -> None:
    assert when(seconds, MARKS, 0.9) == words


def test_what_a_program_said_is_told_once_and_in_order() -> None:
    said = row().program.said("noise\nsaid: b\nit is open\nsaid: a\nsaid: b\n")
    assert said == "b; open; a"


def test_a_busy_machine_may_be_late_by_as_much() -> None:
    assert outcome(row(), 0, "open", 1.6, slowness=1).when == "after about 2 s"
    assert outcome(row(), 0, "open", 1.6, slowness=2).when == "at once"


def test_a_program_without_an_end_has_no_status() -> None:
    assert str(outcome(row(), None, "open", 25, slowness=1)) == "no end in 25 s"


def test_a_difference_needs_a_reason_and_a_reason_its_difference() -> None:
    meant = row(Differs("worse", "meant"))
    assert verdict(row(), REFUSED, REFUSED).text == "same"
    assert verdict(meant, REFUSED, OPEN).text == "worse: meant"
    assert verdict(row(), REFUSED, OPEN).is_broken
    assert verdict(meant, REFUSED, REFUSED).is_broken


def test_the_page_is_read_as_it_is_written() -> None:
    line = Line(row(), str(REFUSED), str(REFUSED), verdict(row(), REFUSED, REFUSED))
    page = "\n".join(report.page([report.written(line)]))
    assert report.written(line) == (
        "| well | `poke host` | exit 1, refused; at once | exit 1, refused; at once | same |"
    )
    assert report.rows_of(page) == {line.row.key: report.written(line)}
    assert "1 rows: 1 same." in page


def test_other_words_of_a_program_are_no_other_line_and_another_status_is() -> None:
    line = "| well | `poke` | exit 1, refused; at once | exit 1, refused; at once | same |"
    assert report.gist(line) == report.gist(line.replace("refused", "Connection, refused"))
    assert report.gist(line) != report.gist(line.replace("exit 1", "exit 7"))
    assert report.gist(line) != report.gist(line.replace("at once", "after 2 s"))


def test_no_two_rows_have_one_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 25


def test_the_page_in_the_docs_has_every_row_and_nothing_is_worse_without_a_reason() -> None:
    rows = report.rows_of(PAGE.read_text())
    assert list(rows) == [row.key for row in ROWS]
    verdicts = [text.removesuffix(" |").rpartition(" | ")[2] for text in rows.values()]
    assert [text for text in verdicts if not text.startswith(("same", "better: ", "worse: "))] == []
