"""A table whose parts the kernel does not confirm is none."""

import socket

import pytest

from netns.network import netlink, nft_tables
from netns.network.expressions import ACCEPT
from netns.network.nft_tables import Chain, NftSet

CHAIN = Chain("prerouting", 0, "filter", -150)


@pytest.mark.parametrize("made", [0, 3])
def test_each_part_is_to_be_confirmed(made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "ask", lambda _sock, _messages: made)
    with pytest.raises(OSError, match=f"the kernel made {made} of 4 parts"):
        nft_tables.make(socket.AF_INET, "x", CHAIN, [NftSet("s", 4)], [[ACCEPT]])
