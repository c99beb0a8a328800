"""What a pod's relay is told by flags is checked before anything is opened."""

import os
import sys
from pathlib import Path

import pytest

from netns.errors import KeeplineError
from relay.addresses import parse_pool
from relay.config.described import described
from relay.dns.synthetic import SyntheticAddresses
from relay.record.events import Event
from relay.record.metrics import Metrics
from relay.sidecar import relay
from relay.sidecar.kept.names import KeptNames


@pytest.mark.parametrize("option", ["--uid=-1", "--drain-seconds=soon", "--drain-seconds=-1"])
def test_a_number_that_is_none_is_a_mistake(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        relay.main([option])
    assert ended.value.code == 125
    assert "is not a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["collector:4318", "http:///v1/metrics", "grpc://collector", ""])
def test_where_a_collector_is_has_to_be_a_url(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        relay.main([f"--otlp={url}"])
    assert ended.value.code == 125
    assert f"{url!r} is not like http://HOST:4318/v1/metrics" in capsys.readouterr().err


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


def test_names_and_the_record_are_on_the_volume(tmp_path: Path) -> None:
    names, sessions = relay.folders(str(tmp_path), pytest.fail)
    assert (names, sessions) == (tmp_path / "keepline", tmp_path / "keepline/sessions")
    assert names.stat().st_mode & 0o777 == 0o700


def test_without_a_volume_or_a_home_they_are_where_they_need_not_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    no_folder = tmp_path / "file"
    no_folder.touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(no_folder / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    warned: list[str] = []
    events: list[Event] = []
    names, sessions = relay.folders(None, warned.append)
    assert names == sessions == tmp_path / "keepline"
    assert warned == [
        f"names are kept in {names}, which may not outlast this container: try --state DIR"
    ]
    synthetic = SyntheticAddresses(parse_pool("198.18.0.0/15"))
    KeptNames(names, synthetic, events.append, now=0).close()
    assert (names / "names").exists()
    assert events == []


def test_without_its_library_nothing_is_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "relay.sidecar.endpoint.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    with pytest.raises(KeeplineError) as caught:
        relay.pushing("http://127.0.0.1:1", Metrics())
    assert caught.value.next_step == "pip install 'keepline[otlp]'"
