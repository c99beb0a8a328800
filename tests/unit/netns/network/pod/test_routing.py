"""Rules of routing, routes and addresses are read back as they were written."""

import struct
from ipaddress import IPv4Network, IPv6Network

from netns.network import nlmsg
from netns.network.pod import routing
from netns.network.pod.asked import Asked

ASKED = Asked(
    uids=(7, 2**32 - 2),
    networks=(IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")),
    ports=((80, 80), (8000, 8100)),
    forwarders=(IPv4Network("8.8.8.8/32"), IPv4Network("0.0.0.0/0"), IPv6Network("::/0")),
)
SHOWN = """\
ip address 198.18.0.1/32 dev lo label lo:keepline
ip route local default dev lo table 15001 src 198.18.0.1
ip rule 111: from all nop
ip rule 108: from 0.0.0.0/32 uidrange 7-7 goto 111
ip rule 108: from 0.0.0.0/32 uidrange 1337-1337 goto 111
ip rule 108: from 0.0.0.0/32 uidrange 4294967294-4294967294 goto 111
ip rule 108: from 0.0.0.0/32 to 10.0.0.0/8 goto 111
ip rule 108: from 0.0.0.0/32 ipproto 6 dport 80-80 goto 111
ip rule 108: from 0.0.0.0/32 ipproto 17 dport 80-80 goto 111
ip rule 108: from 0.0.0.0/32 ipproto 6 dport 8000-8100 goto 111
ip rule 108: from 0.0.0.0/32 ipproto 17 dport 8000-8100 goto 111
ip rule 108: from 0.0.0.0/32 to 8.8.8.8/32 uidrange 0-0 ipproto 6 dport 53-53 goto 111
ip rule 108: from 0.0.0.0/32 to 8.8.8.8/32 uidrange 0-0 ipproto 17 dport 53-53 goto 111
ip rule 108: from 0.0.0.0/32 uidrange 0-0 ipproto 6 dport 53-53 goto 111
ip rule 108: from 0.0.0.0/32 uidrange 0-0 ipproto 17 dport 53-53 goto 111
ip rule 107: from 198.18.0.1/32 lookup 15001
ip rule 109: from 0.0.0.0/32 ipproto 6 lookup 15001
ip rule 109: from 0.0.0.0/32 ipproto 17 dport 53-53 lookup 15001
"""
DONE = struct.pack("=IHHIIi", 20, 3, 2, 0, 0, 0)
FOREIGN = routing.Rule(100, 1, 254).message()


class Kernel:
    """Has what it was given, and answers what is asked for all of a kind."""

    def __init__(self, *messages: bytes) -> None:
        self._messages = messages
        self._answers: list[bytes] = []

    def send(self, asked: bytes) -> None:
        kind = struct.unpack_from("=H", asked, 4)[0] - 2
        of_kind = [each for each in self._messages if struct.unpack_from("=H", each, 4)[0] == kind]
        self._answers = [DONE, b"".join(of_kind)]

    def recv(self, _size: int, _flags: int) -> bytes:
        if not self._answers:
            raise BlockingIOError
        return self._answers.pop()


def test_what_is_asked_for_is_shown_as_ip_shows_it() -> None:
    assert "".join(f"{part}\n" for part in routing.wanted(ASKED)) == SHOWN


def test_no_part_is_taken_for_another() -> None:
    wanted = routing.wanted(ASKED)
    assert len(set(wanted)) == len(wanted) == len(set(map(str, wanted)))


def test_what_is_written_is_read() -> None:
    own = nlmsg.attribute(21, bytes([routing.PROTOCOL]))
    foreign = FOREIGN.replace(own, nlmsg.attribute(21, b"\x04"))
    kernel = Kernel(*(part.message() for part in routing.wanted(ASKED)), foreign)
    standing = routing.standing(kernel)  # type: ignore[arg-type]
    assert set(standing) == set(routing.wanted(ASKED))
    assert routing.has_address(kernel, "198.18.0.1")  # type: ignore[arg-type]
    assert not routing.has_address(kernel, "198.18.0.2")  # type: ignore[arg-type]


def test_what_is_deleted_is_named_in_the_same_way() -> None:
    for part in routing.wanted(ASKED):
        made, deleted = part.message(), part.message(deleted=True)
        assert made[16:] == deleted[16:]
        assert struct.unpack_from("=H", deleted, 4)[0] == struct.unpack_from("=H", made, 4)[0] + 1
