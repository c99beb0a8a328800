"""`keepline policy`: the presets, a verdict, and a list that is a config file."""

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns.errors import KeeplineError
from relay import config
from relay.addresses import Destination
from relay.policy.policy import Policy
from relay.policy.verdicts import Allow
from relay.policy_report import learned_lines, preset_lines, why_lines
from relay.record.events import AnyEvent, ConnectionOpened, NameAssigned, NameRefused
from relay.record.kinds import Kind


def learned(*events: AnyEvent) -> str:
    return "\n".join(learned_lines("x", events))


def opened(name: str | None, address: str = "198.18.0.2") -> AnyEvent:
    return ConnectionOpened(at=1, connection=1, address=address, port=443, name=name)


def test_presets_are_listed_with_their_rules() -> None:
    lines = list(preset_lines())
    assert "claude: the agent claude: its API, its login, its updates" in lines
    assert "  api.anthropic.com:443  (the API)" in lines


def test_a_verdict() -> None:
    is_allowed, lines = why_lines(Policy(deny=["a.test"]), "a.test:80", "/c.toml")
    assert (is_allowed, lines[0]) == (False, "a.test:80: denied")
    assert why_lines(Policy(), "a.test", "/c.toml")[0]
    with pytest.raises(KeeplineError, match=r"'a b': the form is HOST\[:PORT\]") as caught:
        why_lines(Policy(), "a b", "/c.toml")
    assert caught.value.next_step == "the form is keepline policy why HOST[:PORT]"


def test_a_list_is_learned() -> None:
    log = (
        NameAssigned(at=1, name="b.test", address="198.18.0.2"),
        opened(None, "10.0.0.1"),
        NameRefused(at=1, name="c.test", type="A", kind=Kind.POLICY, rule="x"),
        NameAssigned(at=1, name="host.7", address="198.18.0.3"),
    )
    text = learned(*log)
    assert text == (
        "# what x asked for; for config.toml, or a project's .keepline.toml, once read\n"
        "[policy]\n"
        'mode = "allowlist"\n'
        "allow = [\n"
        '  "10.0.0.1:443",\n'
        '  "b.test",\n'
        '  # no rule: "host.7"\n'
        '  # denied: "c.test"\n'
        "]"
    )
    assert config.from_project(text, "p").is_allowlist


def test_the_name_of_a_session_ends_no_comment() -> None:
    first, second, *_ = learned_lines("x\nallow = []", ())
    assert first.startswith(r"# what 'x\nallow = []' asked for; ")
    assert second == "[policy]"


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=3))
def test_any_name_that_was_dialled_is_allowed_by_the_list(labels: list[bytes]) -> None:
    name = dns.name.Name([*labels, b"test", b""]).to_text(omit_final_dot=True).lower()
    text = learned(NameAssigned(at=1, name=name, address="198.18.0.2"), opened(name))
    policy = config.merge(config.from_toml(text, "c.toml")).policy()
    assert policy.decide(Destination(name, 443)) == policy.judge_name(name) == Allow()
