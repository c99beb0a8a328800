"""What a pod's relay is told by flags is checked before anything is opened."""

import os
import sys

import pytest

from netns.errors import KeeplineError
from relay.config.described import described
from relay.record.metrics import Metrics
from relay.sidecar import relay


@pytest.mark.parametrize("option", ["--uid=-1", "--drain-seconds=soon", "--drain-seconds=-1"])
def test_a_number_that_is_none_is_a_mistake(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        relay.main([option])
    assert ended.value.code == 125
    assert "is no whole number" in capsys.readouterr().err


def test_another_user_is_told_that_the_rules_would_lead_it_to_itself() -> None:
    other = os.geteuid() + 1
    with pytest.raises(KeeplineError) as caught:
        relay.main([f"--uid={other}"])
    assert f"the rules leave user {other} alone" in caught.value.cause
    assert "--uid N" in caught.value.next_step


def test_what_only_a_command_has_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        relay.main(["--help"])
    told = capsys.readouterr().out.split()
    flags = {setting.name: setting.flag for setting in described()}
    assert set(flags) >= relay.NOT_OF_PODS
    assert {name for name, flag in flags.items() if flag not in told} == relay.NOT_OF_PODS


def test_without_its_library_nothing_is_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "relay.sidecar.endpoint.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    with pytest.raises(KeeplineError) as caught:
        relay.pushing("http://127.0.0.1:1", Metrics())
    assert caught.value.next_step == "pip install 'keepline[otlp]'"
