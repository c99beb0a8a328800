"""The rows of scripts/containers, their page, and the profile that is shipped; nothing is run."""

import json
from itertools import combinations
from pathlib import Path
from typing import Final

import pytest

from tests.containers import report
from tests.containers.playing import Outcome, judged
from tests.containers.pods import KINDS
from tests.containers.profile import ADDED, ALONE, SHIPPED, extended, without_ours
from tests.containers.rows import FACTORS, PAIRS, ROWS, Row
from tests.containers.sealed import CASES
from tests.containers.steps import STEPS

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/containers.md"


def test_each_two_values_meet_in_some_row_and_there_are_few_rows() -> None:
    for (one, ones), (other, others) in combinations(FACTORS.items(), 2):
        met = {(getattr(row, one), getattr(row, other)) for row in PAIRS}
        assert met == {(first, second) for first in ones for second in others}
    assert len(ROWS) <= 40
    assert len({report.key(row) for row in ROWS}) == len(ROWS)


def test_the_profile_is_docker_s_and_what_is_added() -> None:
    shipped = json.loads(SHIPPED.read_text())
    default = without_ours(shipped)
    assert shipped == extended(default)
    assert shipped["syscalls"][-len(ADDED) :] == list(ADDED)
    assert (default["defaultAction"], default["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)


def test_what_is_added_docker_allows_to_few_or_with_few_arguments() -> None:
    default = without_ours(json.loads(SHIPPED.read_text()))
    to_all = {
        name
        for group in default["syscalls"]
        if group["action"] == "SCMP_ACT_ALLOW" and not group.keys() & {"includes", "args"}
        for name in group["names"]
    }
    assert not to_all & {name for group in ADDED for name in group["names"]}
    (keys,) = [group for group in ADDED if group["names"] == ["keyctl"]]
    assert keys["args"] == [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
    assert [name for group in ALONE for name in group["names"]] == ["unshare"]


def test_a_page_is_read_as_it_was_written() -> None:
    found = {report.key(row): Outcome("works") for row in ROWS}
    found[report.key(ROWS[3])] = Outcome("refuses", ("this is not allowed. Really", "do that"))
    found[report.key(ROWS[-1])] = Outcome("refuses", ("this is another", "do that"))
    pods = {kind: dict.fromkeys(STEPS, "yes") for kind in KINDS}
    assert report.read("\n".join(report.page(found, pods, dict.fromkeys(CASES, "yes")))) == found


def test_the_committed_page_has_each_row() -> None:
    text = PAGE.read_text()
    assert report.read(text).keys() == {report.key(row) for row in ROWS}
    assert all(f"| {step} | yes | yes | yes |" in text for step in STEPS)
    assert all(f"| {case} | yes |" in text for case in CASES)


REFUSED: Final = "keepline: no /srv\n  try: mkdir /srv\n"
LOOPBACK: Final = "keepline: nothing but loopback, as with --network=none; x\n"


@pytest.mark.parametrize(
    ("row", "status", "stdout", "stderr", "result"),
    [
        (Row("docker"), 0, "hello\n", "", "works"),
        (Row("docker"), 125, "", REFUSED, "refuses"),
        (Row("docker", network="none"), 28, "", LOOPBACK, "runs, reaches nothing"),
        (Row("docker"), 28, "", LOOPBACK, "WRONG"),
        (Row("docker"), 0, "other\n", "", "WRONG"),
        (Row("docker"), 125, "", "docker: Error response from daemon\n", "WRONG"),
        (Row("docker"), 125, "", "keepline: no next step\n", "WRONG"),
        (Row("docker"), 125, "hello\n", REFUSED, "WRONG"),
    ],
)
def test_how_an_end_is_judged(row: Row, status: int, stdout: str, stderr: str, result: str) -> None:
    outcome = judged(row, status, stdout, stderr)
    assert outcome.result.startswith(result)
    assert outcome.is_wrong is (result == "WRONG")


def test_names_of_sessions_and_other_programs_are_not_told() -> None:
    stderr = (
        "time=now level=warning\n"
        "keepline: the record is 20261127-083640-1_2 of sleep (10)\n"
        "keepline: lost. See: keepline explain 20261127-083640-1\n"
    )
    assert judged(Row("docker"), 0, "hello", stderr).said == (
        "the record is SESSION of sleep (PID)",
    )


NEEDS: Final = {
    "| podman, rootful and rootless | nothing | nothing |": (
        *(Row("podman"), Row("podman", user="user")),
        *(Row("rootless"), Row("rootless", user="user")),
    ),
    "| Docker | the profile | the profile |": (
        Row("docker", seccomp="shipped"),
        Row("docker", user="user", seccomp="shipped"),
    ),
}
"""Lines of the README, and the rows that show them."""


def test_the_readme_says_what_the_page_shows() -> None:
    readme = (PAGE.parents[1] / "README.md").read_text()
    found = report.read(PAGE.read_text())
    for line, rows in NEEDS.items():
        assert line in readme
        assert {found[report.key(row)].result for row in rows} == {"works"}
    without = [
        outcome
        for key, outcome in found.items()
        if key[1:3] == ("root", "none") and outcome.result == "refuses"
    ]
    assert without
    assert all("--cap-add SETFCAP" in outcome.said[-1] for outcome in without)
