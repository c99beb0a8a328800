"""`keepline sidecar rules` takes what it can understand, and says what it would do."""

from collections.abc import Sequence

import pytest

from netns.network.pod import installing, routing
from netns.network.pod.asked import Asked
from netns.network.pod.installing import State
from netns.network.pod.refusal import RulesError
from relay.sidecar import rules


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Return what is compared, with rules that differ."""
    compared: list[Asked] = []

    def compare(asked: Asked) -> State:
        compared.append(asked)
        return State(["a", "b"], ["c"], ["b"])

    monkeypatch.setattr(installing, "compare", compare)
    return compared


@pytest.mark.parametrize(
    "arguments",
    [
        ["--uid", "0"],
        ["--uid", "4294967295"],
        ["--uid", "x"],
        ["--exclude-uid", "0"],
        ["--exclude-cidr", "10.0.0.1/8"],
        ["--exclude-cidr", "x"],
        ["--exclude-port", "0"],
        ["--exclude-port", "65536"],
        ["--exclude-port", "9-8"],
        ["--exclude-port", "1-2-3"],
        ["--exclude-port", "-"],
        ["--exclude-port", "80-"],
        ["--exclude-port", "-80"],
        ["--exclude-port", ""],
        ["x"],
    ],
)
def test_what_it_does_not_understand_it_does_not_do(
    arguments: Sequence[str], asked: list[Asked]
) -> None:
    with pytest.raises(SystemExit) as ended:
        rules.main(["--check", *arguments])
    assert ended.value.code == 125
    assert asked == []


def test_what_is_excluded_adds_up(asked: list[Asked], capsys: pytest.CaptureFixture[str]) -> None:
    words = "--uid 7 --dns-pool 10.9.0.0/16 --exclude-uid 8,9 --exclude-port 80 --exclude-port 1-2"
    words += " --exclude-cidr 10.0.0.0/8,fd00::/8"
    assert rules.main(["--check", *words.split()]) == rules.DIFFERENT
    assert (asked[0].relay_uid, asked[0].own_address) == (7, "10.9.0.1")
    assert (asked[0].left_alone(), asked[0].ports) == ((7, 8, 9), ((80, 80), (1, 2)))
    assert [str(network) for network in asked[0].networks] == ["10.0.0.0/8", "fd00::/8"]
    assert capsys.readouterr().out == "- b\n+ c\n"


def test_what_is_excluded_twice_is_so_once(asked: list[Asked]) -> None:
    words = "--exclude-port 80,80-80 --exclude-port 80 --exclude-cidr 10.0.0.0/8,10.0.0.0/8"
    rules.main(["--check", *words.split()])
    assert asked[0].ports == ((80, 80),)
    assert [str(network) for network in asked[0].networks] == ["10.0.0.0/8"]
    wanted = routing.wanted(asked[0])
    assert len(wanted) == len(set(wanted))


def test_the_machines_own_network_is_left_alone(
    asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "is_machines_own", lambda: True)
    for arguments in ([], ["--remove"]):
        with pytest.raises(RulesError, match="the machine's own network"):
            rules.main(arguments)
    assert rules.main(["--check"]) == rules.DIFFERENT


def test_a_user_that_is_not_mapped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RulesError, match="this user namespace has no user 70000") as told:
        rules.require_mapped([0, 70000], "0 1000 1\n1 100000 65535\n")
    assert "0 to 0, 1 to 65535" in told.value.next_step
    rules.require_mapped([0, 1337], "0 1000 1\n1 100000 65535\n")


def test_rules_that_do_not_stand_once_made_are_told(
    asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installing, "is_machines_own", lambda: False)
    monkeypatch.setattr(installing, "install", lambda asked: State([], ["c"], []))
    with pytest.raises(RulesError, match="the rules were made and do not stand: c; b"):
        rules.main(["--uid", "1"])
