"""Which resets are no loss: early answers, and nothing that only looks like one."""

from relay.tcp.transfer.dialogue import ANSWER, RIGHT_AFTER, RUN, STILL, Dialogue

HEAD = 300
MUCH = 10 * RUN


class Talk:
    """A dialogue, and what both sides have said."""

    def __init__(self) -> None:
        self.dialogue = Dialogue()
        self.sent = self.received = 0

    def program(self, size: int) -> "Talk":
        """Have the program speak."""
        self.sent += size
        return self

    def upstream(self, size: int) -> "Talk":
        """Have upstream speak, as the pump notes it."""
        if self.dialogue.asked != self.sent:
            self.dialogue.turn(self.sent, self.received)
        self.received += size
        return self

    def came_early(self, untaken: int = 0, seconds: float = 0.0) -> bool:
        """Return the verdict on a reset now."""
        return self.dialogue.came_early(self.sent, self.received, untaken, seconds)


def handshaken() -> Talk:
    """Return a dialogue after a handshake of TLS."""
    return Talk().program(500).upstream(4000).program(100)


def test_a_refusal_in_the_middle_of_an_upload() -> None:
    assert Talk().program(MUCH).upstream(HEAD).came_early(untaken=STILL)
    assert Talk().program(MUCH).upstream(HEAD).program(RUN).came_early()
    assert handshaken().program(MUCH).upstream(HEAD).came_early(untaken=STILL)
    after_continue = Talk().program(HEAD).upstream(25).program(MUCH).upstream(HEAD)
    assert after_continue.came_early(untaken=STILL)


def test_an_answer_in_several_pieces() -> None:
    assert Talk().program(MUCH).upstream(60).upstream(60).came_early(untaken=STILL)


def test_an_answer_that_is_cut_after_the_whole_request() -> None:
    assert not Talk().program(MUCH).upstream(HEAD).came_early()
    assert not Talk().program(MUCH).upstream(HEAD).program(13).came_early(untaken=13)
    assert not handshaken().program(HEAD).upstream(MUCH).came_early(untaken=STILL)


def test_an_upload_that_is_cut_before_any_answer() -> None:
    assert not Talk().program(MUCH).came_early(untaken=STILL)
    assert not handshaken().program(MUCH).came_early(untaken=STILL)
    assert not Talk().program(HEAD).upstream(MUCH).program(MUCH).came_early(untaken=STILL)


def test_an_upload_that_the_server_acknowledges_as_it_goes() -> None:
    talk = handshaken().program(MUCH).upstream(ANSWER).program(MUCH).upstream(ANSWER)
    assert not talk.came_early(untaken=STILL)
    assert not handshaken().program(MUCH).upstream(ANSWER - 1).came_early(untaken=STILL)


def test_a_reset_long_after_the_answer() -> None:
    early = Talk().program(MUCH).upstream(HEAD)
    assert early.came_early(STILL, RIGHT_AFTER)
    assert not early.came_early(STILL, RIGHT_AFTER + 0.1)
