"""What holds in every dialect: its events in the holding rule, its filler, its own errors."""

import sys
from pathlib import Path
from typing import get_args

import pytest

from relay.config import Hold, Settings
from relay.gateway import dialects
from relay.gateway.answers.hold import Answer, Step
from relay.gateway.dialect import Dialect, Role
from relay.gateway.setup.choice import Enabled, choose
from relay.record.kinds import Kind
from tests.support.buffers import bytes_of, giving
from tests.support.inprocess.dialects import CHAT, SAMPLES, Sample

each = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.program)
HOLDS: tuple[Hold, ...] = get_args(Hold)


def roles(dialect: Dialect, data: bytes) -> list[tuple[Role, ...]]:
    return [event.roles for event in dialect.reader().feed(data)]


@each
@pytest.mark.parametrize("hold", HOLDS)
def test_an_answer_cut_anywhere_is_lost_and_what_was_given_is_its_beginning(
    sample: Sample, hold: Hold
) -> None:
    whole = b"".join(sample.events)
    before, first = b"".join(sample.before), b"".join(sample.first_part)
    stopped = len(before + first + b"".join(sample.rest[: sample.stop + 1]))
    answer, given = Answer(hold, sample.dialect.reader()), b""
    for at in range(len(whole)):
        assert answer.has_all is (at >= stopped)
        if not answer.has_all:
            loss = answer.end().loss
            assert loss is not None
            assert loss.startswith("ended without ")
        assert whole.startswith(given)
        assert answer.committed is bool(given)
        if at <= len(before) or hold == "message":
            assert not given
        if hold == "block":
            assert len(given) <= len(before + first)
        given += bytes_of(answer.receive(whole[at : at + 1]))
    assert (given, answer.is_complete, answer.end()) == (whole, True, Step())


@each
@pytest.mark.parametrize("hold", HOLDS)
def test_the_end_is_put_where_it_is_left_out(sample: Sample, hold: Hold) -> None:
    stopped = b"".join([*sample.before, *sample.first_part, *sample.rest])
    answer = Answer(hold, sample.dialect.reader())
    given = bytes_of(answer.receive(stopped))
    assert answer.receive(sample.end[:9]) == Step()
    assert given + bytes_of(answer.end()) == stopped + sample.end
    assert answer.is_complete


@each
def test_the_first_part_flows_and_what_follows_is_held(sample: Sample) -> None:
    answer = Answer("block", sample.dialect.reader())
    before, (first, *more) = b"".join(sample.before), sample.first_part
    assert answer.receive(before) == Step()
    assert answer.receive(first) == giving(before + first)
    for event in more:
        assert answer.receive(event) == giving(event)
    for event in sample.rest:
        assert answer.receive(event) == Step()
        assert answer.wants_filler
    assert answer.receive(sample.end) == giving(b"".join(sample.rest) + sample.end)


@each
@pytest.mark.parametrize("hold", HOLDS)
def test_errors(sample: Sample, hold: Hold) -> None:
    before, error = b"".join(sample.before), sample.passing_error
    answer = Answer(hold, sample.dialect.reader())
    assert answer.receive(before) == Step()
    loss = f"error event: {sample.error_name}"
    assert answer.receive(error) == Step(loss=loss, error=error, kind=Kind.API_ERROR)
    answer = Answer(hold, sample.dialect.reader())
    assert answer.receive(before + sample.final_error) == giving(before + sample.final_error)
    assert answer.is_complete


@each
def test_its_filler_says_nothing_wherever_it_stands(sample: Sample) -> None:
    dialect = sample.dialect
    assert roles(dialect, dialect.filler) == [(Role.FILLER,)]
    plain = [each for each in roles(dialect, b"".join(sample.events)) if each != (Role.FILLER,)]
    filled = roles(dialect, b"".join(dialect.filler + event for event in sample.events))
    assert [each for each in filled if each != (Role.FILLER,)] == plain


@each
def test_its_own_errors_are_read_as_such(sample: Sample) -> None:
    dialect = sample.dialect
    assert roles(dialect, dialect.error_event("lost\n\n\u2028")) == [(Role.ERROR,)]
    fields, body = dialect.error_fields("lost", retry=True)
    assert dict(fields)[b"Content-Length"] == b"%d" % len(body)
    assert roles(dialect, dialect.as_error_event(body)) == [(Role.ERROR,)]
    assert dialect.as_error_event(b"<html>") == b""


@each
def test_what_is_streamed_may_be_repeated_and_costs(sample: Sample) -> None:
    assert sample.dialect.rules("POST", f"/a{sample.path}", "/a") == (True, True, True)
    assert sample.dialect.rules("GET", "/", "") == (True, False, False)
    assert not sample.dialect.rules("POST", sample.path, "/a").is_repeatable


def test_a_host_or_a_command_tells_the_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "DIALECTS", (*dialects.DIALECTS, CHAT))
    settings = Settings(gateway_hosts=("api.anthropic.com", "chat.example", "other.example"))
    environment = {"CHAT_BASE_URL": "http://llm.example/chat"}
    chosen = choose(settings, ["/bin/prattler"], environment, has_openssl=lambda: True)
    assert isinstance(chosen, Enabled)
    assert chosen.why == "the command is prattler"
    spoken = {origin.host: origin.dialect for origin in chosen.origins}
    assert spoken == {
        "llm.example": CHAT,
        "api.anthropic.com": dialects.DEFAULT,
        "chat.example": CHAT,
        "other.example": CHAT,
    }
    plain = choose(settings, ["chatter"], environment, has_openssl=lambda: False)
    assert isinstance(plain, Enabled)
    assert plain.environment(4711) == {"CHAT_BASE_URL": "http://127.0.0.1:4711/chat"}


def test_a_dialect_is_known_by_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "an_api.py").write_text(
        "from tests.support.inprocess.dialects import CHAT as DIALECT\n"
    )
    monkeypatch.setattr(dialects, "__path__", [*dialects.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{dialects.__name__}.an_api", raising=False)
    assert dialects.discovered() == (CHAT, *dialects.DIALECTS)
    monkeypatch.setattr(dialects, "DIALECTS", dialects.discovered())
    assert dialects.dialect_of_program("chatter") is CHAT
    assert dialects.dialect_of_host("chat.example", dialects.DEFAULT) is CHAT
    assert dialects.programs() == (*CHAT.programs, *dialects.DEFAULT.programs)


def test_the_default_is_that_of_the_settings_host() -> None:
    assert dialects.DEFAULT.is_spoken_by(Settings().gateway_hosts[0])
