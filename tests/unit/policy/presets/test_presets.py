"""Presets: every file is a preset, every rule names one service at its ports."""

from importlib.resources import files

import pytest

from relay.addresses import Destination
from relay.policy import presets
from relay.policy.policy import Policy, Preset
from relay.policy.presets import PRESETS
from relay.policy.verdicts import Allow, Deny


def test_every_data_file_is_a_preset() -> None:
    names = [path.name for path in files(presets).iterdir()]
    assert sorted(name for name in names if name.endswith(".toml")) == [
        f"{name}.toml" for name in PRESETS
    ]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_hosts_and_ports(name: Preset) -> None:
    about, rules, ports = presets.load(name)
    assert about
    assert rules or ports
    assert {each.source for each in ports} <= {f"preset {name}"}
    assert rules == tuple(dict.fromkeys(rules))
    for rule in rules:
        assert rule.is_preset
        assert rule.source == f"preset {name}"
        assert rule.port in {22, 80, 443}
        assert rule.kind == "name" or rule.text == "*.githubusercontent.com:443"
    assert Policy(allow=rules).mode == ("allowlist" if rules else "open")


def test_a_preset_opens_no_private_address() -> None:
    policy = Policy(allow=presets.load("claude").allow)
    api = Destination("api.anthropic.com", 443)
    assert policy.decide(api) == Allow()
    assert policy.judge_address(api, "160.79.104.10") == Allow()
    assert isinstance(policy.judge_address(api, "10.0.0.1"), Deny)
    assert isinstance(policy.judge_address(api, "169.254.169.254"), Deny)


def test_presets_are_listed_with_their_rules() -> None:
    lines = list(presets.lines())
    assert "claude: the agent claude: its API, its login, its updates" in lines
    assert "  api.anthropic.com:443  (the API)" in lines
    assert "  port 11434 of the host's loopback" in lines
