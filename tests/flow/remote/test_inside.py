"""What a sealed container asks of its relay: what one reads, and nothing that it would refuse."""

import pytest

from netns.errors import KeeplineError
from relay.config import Project, Settings
from relay.config.entries import Entry
from relay.remote import inside, messages


def test_rules_and_the_command_are_told() -> None:
    asked = inside.hello(Settings(deny=("*.example.com",)), ["curl", "-d", "x"])
    assert (asked.program, asked.agent) == ("curl", "")
    assert asked.asked == (messages.Asked(deny=("*.example.com",)),)


def test_a_command_whose_name_is_no_text_is_told_as_far_as_it_is() -> None:
    assert inside.hello(Settings(), ["tr\udcffue"]).program == "tr?ue"
    assert inside.hello(Settings(), ["x" * 300]).program == "x" * 256


PROJECT = Project(path="/x/.keepline.toml", deny=(Entry(host="example.com", source="x"),))
TOO_MUCH = {
    "rules": Settings(deny=tuple(f"host{number}.example.com" for number in range(4000))),
    "files of a project": Settings(projects=(PROJECT,) * (messages.MOST_ASKED + 1)),
    "a rule": Settings(deny=(".".join(["x" * 63] * 3 + ["x" * 61]) + ":65535",)),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_more_than_a_relay_reads_is_told_before_it_is_asked(name: str) -> None:
    with pytest.raises(KeeplineError, match="more than a relay reads") as caught:
        inside.hello(TOO_MUCH[name], ["true"])
    assert "keepline relay --allow" in caught.value.next_step
