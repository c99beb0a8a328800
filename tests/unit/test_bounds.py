"""The table of bounds: its page, what is kept of it, and that docs/bounds.md has every row."""

from pathlib import Path
from typing import Any

from tests.bounds import report
from tests.bounds.row import MEMORY, OTHERS, PROCESSOR, Row
from tests.bounds.rows import ROWS
from tests.bounds.stage import Stage

PAGE = Path(__file__).parents[2] / "docs/bounds.md"


async def nothing(_stage: Stage) -> None:
    """Make no flood."""


def row(**options: Any) -> Row:
    bounds = {PROCESSOR: 4, MEMORY: 8}
    usual: dict[str, Any] = {"flood": "a | b", "meets": "", "bounds": bounds, "play": nothing}
    given = usual | options
    return Row(attacker="a zone", **given)


def test_the_page_has_the_rows_and_bounds_of_the_code() -> None:
    assert list(report.differences(ROWS, PAGE.read_text())) == []


def test_each_row_has_a_name_of_its_own_and_bounds() -> None:
    assert len({each.name for each in ROWS}) == len(ROWS)
    assert all(each.bounds for each in ROWS)


def test_a_figure_stays_until_it_is_wrong_by_half() -> None:
    one = row()
    first = report.page([one], {one.name: {PROCESSOR: 0.42, MEMORY: 0.3}}, "")
    assert "processor: 0.4 of 4 s; memory: 1 of 8 MiB" in first
    near = report.page([one], {one.name: {PROCESSOR: 0.55, MEMORY: 1.2}}, first)
    assert near == first
    far = report.page([one], {one.name: {PROCESSOR: 0.7, MEMORY: 3}}, first)
    assert "processor: 0.7 of 4 s; memory: 3 of 8 MiB" in far
    assert report.page([one], {}, far) == far


def test_a_row_or_a_bound_that_differs_is_told() -> None:
    one, other = row(), row(flood="another", said="a line")
    page = report.page([one, other], {each.name: {MEMORY: 1.0} for each in (one, other)}, "")
    assert list(report.differences([one, other], page)) == []
    assert [text[:7] for text in report.differences([one], page)] == ["only in"]
    wider = row(bounds={PROCESSOR: 4, MEMORY: 9, OTHERS: 1})
    assert len(list(report.differences([wider, other], page))) == 2
