"""The list that a session would have needed is a config file."""

import dns.name
from hypothesis import given
from hypothesis import strategies as st

from relay import config
from relay.addresses import Destination
from relay.policy.verdicts import Allow
from relay.record.events import (
    AnyEvent,
    ConnectionOpened,
    LoopbackRefused,
    NameAssigned,
    NameRefused,
)
from relay.record.kinds import Kind
from relay.record.story.learned import lines


def learned(*events: AnyEvent) -> str:
    return "\n".join(lines("x", events))


def opened(name: str | None, address: str = "198.18.0.2") -> AnyEvent:
    return ConnectionOpened(at=1, connection=1, address=address, port=443, name=name)


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


def test_ports_of_the_host_are_no_rules() -> None:
    text = learned(
        opened(None, "127.0.0.1"),
        ConnectionOpened(connection=2, address="::1", port=80, name="[::1]"),
        ConnectionOpened(connection=3, address="198.18.0.2", port=81, name="host.internal"),
        LoopbackRefused(address="127.0.0.1", port=5432, on_host=True),
        LoopbackRefused(address="127.0.0.1", port=5433, on_host=False),
        opened("a.test"),
    )
    assert "host_ports = [80, 81, 443, 5432] # in config.toml alone\n[policy]" in text
    assert '[\n  "a.test:443",\n]' in text
    config.from_toml(text, "c.toml")


def test_the_name_of_a_session_ends_no_comment() -> None:
    first, second, *_ = lines("x\nallow = []", ())
    assert first.startswith(r"# what 'x\nallow = []' asked for; ")
    assert second == "[policy]"


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=3))
def test_any_name_that_was_dialled_is_allowed_by_the_list(labels: list[bytes]) -> None:
    name = dns.name.Name([*labels, b"test", b""]).to_text(omit_final_dot=True).lower()
    text = learned(NameAssigned(at=1, name=name, address="198.18.0.2"), opened(name))
    policy = config.merge(config.from_toml(text, "c.toml")).policy()
    assert policy.decide(Destination(name, 443)) == policy.judge_name(name) == Allow()
