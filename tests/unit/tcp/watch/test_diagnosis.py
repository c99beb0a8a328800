"""Diagnosis: the network is told from a connection that was forgotten on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from relay.tcp.watch.diagnosis import (
    FRESH,
    GRACE,
    GRACE_AFTER_SLEEP,
    PROMPT,
    SETTLED,
    Path,
    TcpInfo,
    Verdict,
)


def info(silence: float = 60.0, *, retransmits: int = 3, probes: int = 0) -> TcpInfo:
    return TcpInfo(retransmits, probes, 1, silence)


@pytest.mark.parametrize(
    ("retransmits", "probes", "suspicious"),
    [(0, 0, False), (2, 1, False), (3, 0, True), (0, 2, True)],
)
def test_suspicion(retransmits: int, probes: int, suspicious: bool) -> None:
    assert info(retransmits=retransmits, probes=probes).is_suspicious is suspicious


def test_an_ack_clears() -> None:
    assert Path(0).judge(info(0.1, retransmits=0), 1) is Verdict.CLEAR


def test_nothing_is_decided_before_the_dial_has_shown_something() -> None:
    assert Path(0).judge(info(), 10) is Verdict.WAIT


def test_forgotten_on_the_way() -> None:
    path = Path(10)
    assert path.answered(10, 10.05) is None
    assert path.judge(info(GRACE), 10 + SETTLED - 0.1) is Verdict.WAIT
    assert path.answered(12, 12.05) is None
    assert path.judge(info(GRACE - 0.1), 10 + SETTLED) is Verdict.WAIT
    assert path.judge(info(GRACE), 10 + SETTLED) is Verdict.DEAD


def test_after_a_suspend_sooner() -> None:
    path = Path(10)
    path.answered(10, 10.05)
    assert path.judge(info(600), 11.0, GRACE_AFTER_SLEEP) is Verdict.WAIT
    assert path.judge(info(600), 11.5, GRACE_AFTER_SLEEP) is Verdict.DEAD


def test_while_the_network_is_down_nothing_is_given_up() -> None:
    path = Path(0)
    assert path.unanswered(0)
    assert not path.unanswered(3)
    assert path.is_down
    assert path.judge(info(500), 500) is Verdict.HOLD


def test_after_an_outage_a_connection_gets_its_time_to_speak() -> None:
    path = Path(0)
    path.unanswered(0)
    assert path.answered(20, 20.05) == pytest.approx(20.05)
    assert path.judge(info(20), 21) is Verdict.WAIT
    path.answered(23, 23.05)
    assert path.judge(info(25.1), 20.06 + GRACE) is Verdict.DEAD
    assert path.judge(info(0.2, retransmits=0), 22) is Verdict.CLEAR


def test_a_late_answer_means_that_the_network_was_down() -> None:
    path = Path(0)
    assert path.answered(0, PROMPT + 0.2) == pytest.approx(PROMPT + 0.2)
    assert path.judge(info(GRACE), GRACE) is Verdict.WAIT


def test_one_lost_syn_begins_nothing_anew() -> None:
    path = Path(10)
    path.answered(10, 10.05)
    path.answered(12, 13.05)
    idle = info(20, retransmits=0, probes=3)
    assert path.judge(idle, 10 + SETTLED + 1) is Verdict.WAIT
    assert path.judge(idle, 10 + SETTLED + 1.06) is Verdict.DEAD


def test_probes_after_a_late_answer_need_no_more_time_than_else() -> None:
    path = Path(10)
    path.answered(10, 11.05)
    assert path.judge(info(20, retransmits=0, probes=3), 11.05 + SETTLED) is Verdict.DEAD
    assert path.judge(info(20, retransmits=3), 11.05 + SETTLED) is Verdict.WAIT


def test_an_answer_from_long_ago_proves_nothing() -> None:
    path = Path(0)
    path.answered(0, 0.05)
    assert path.judge(info(), FRESH + 3) is Verdict.WAIT


class Paths(RuleBasedStateMachine):
    """Whatever happens: nobody is declared dead unless the network has been up for the grace."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.path = Path(self.now)
        self.up_since: float | None = None
        self.answered = 0.0
        self.was_down = self.was_late = False

    @rule(seconds=st.floats(0, 10))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(took=st.floats(0, 2))
    def dial_is_answered(self, took: float) -> None:
        began, self.now = self.now, self.now + took
        self.path.answered(began, self.now)
        if self.up_since is None:
            self.up_since = 0.0 if self.answered == 0.0 and took <= PROMPT else self.now
        elif took > PROMPT:
            self.up_since += took
        self.was_late |= took > PROMPT and self.answered >= 0
        self.answered = self.now

    @rule()
    def dial_is_not_answered(self) -> None:
        self.path.unanswered(self.now)
        self.was_down = True
        self.up_since = None
        self.answered = -1.0

    @rule(silence=st.floats(0, 100), retransmits=st.integers(0, 5), probes=st.integers(0, 5))
    def a_suspect_is_judged(self, silence: float, retransmits: int, probes: int) -> None:
        verdict = self.path.judge(TcpInfo(retransmits, probes, 0, silence), self.now)
        if verdict is Verdict.DEAD:
            assert self.up_since is not None
            slow = self.was_down or (self.was_late and retransmits > 0)
            assert self.now - self.up_since >= (GRACE if slow else SETTLED) - 1e-6
            assert self.now - self.answered <= FRESH
            assert silence >= GRACE
            assert retransmits or probes


TestPaths = Paths.TestCase


@given(st.binary(min_size=TcpInfo.SIZE, max_size=TcpInfo.SIZE))
def test_any_bytes_are_read(raw: bytes) -> None:
    TcpInfo.parse(raw)
