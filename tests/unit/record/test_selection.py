"""Which session is meant: the named, this one, or the latest; each error lists what there is."""

import pytest

from relay.record.selection import LATEST, SelectionError, select

KNOWN = ["20260101-000000-1", "20260101-000000-2", "20260202-000000-3"]


@pytest.mark.parametrize(
    ("wanted", "own", "found"),
    [
        (None, None, KNOWN[2]),
        (None, KNOWN[0], KNOWN[0]),
        (LATEST, KNOWN[0], KNOWN[2]),
        (KNOWN[1], KNOWN[0], KNOWN[1]),
        ("202602", None, KNOWN[2]),
    ],
)
def test_the_one_that_is_meant(wanted: str | None, own: str | None, found: str) -> None:
    assert select(KNOWN, wanted, own, "/f") == found


def test_a_name_that_begins_another_is_itself() -> None:
    assert select(["20260101-000000-1", "20260101-000000-12"], "20260101-000000-1", None, "/f") == (
        "20260101-000000-1"
    )


@pytest.mark.parametrize(
    ("known", "wanted", "own", "cause", "step"),
    [
        ([], None, None, "there is no session in /f", "keepline run -- COMMAND"),
        ([], None, "x", "there is no session in /f", "keepline run -- COMMAND"),
        (KNOWN[:1], "y", None, "there is no session y in /f", KNOWN[0]),
        (
            KNOWN,
            None,
            "x",
            "the log of this session, x, is not in /f",
            f"latest, or one of {KNOWN[2]}, {KNOWN[1]}, {KNOWN[0]}",
        ),
        (
            KNOWN,
            "202601",
            None,
            "2 sessions in /f begin with 202601",
            f"one of {KNOWN[1]}, {KNOWN[0]}",
        ),
        (
            [f"s{n}" for n in range(9)],
            "y",
            None,
            "there is no session y in /f",
            "one of s8, s7, s6, s5, s4",
        ),
    ],
)
def test_an_error_names_the_next_step(
    known: list[str], wanted: str | None, own: str | None, cause: str, step: str
) -> None:
    with pytest.raises(SelectionError) as error:
        select(known, wanted, own, "/f")
    assert (error.value.cause, error.value.next_step) == (cause, step)
