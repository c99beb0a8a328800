"""A pod's tables of nf_tables as lines of text: those that stand, and as they should be.

A rule is known by its comment, which has a digest of what it says.
"""

import socket
import struct
from typing import Final

from netns.network import netlink, nlmsg
from netns.network.pod import tables

_GET_TABLE, _GET_CHAIN, _GET_RULE = (nlmsg.NFTABLES << 8 | kind for kind in (1, 4, 7))
FAMILIES: Final[dict[int, str]] = {socket.AF_INET: "ip", socket.AF_INET6: "ip6"}


def expected(table: tables.Table) -> list[str]:
    """Return the lines of a table as it should be, as standing() has them of those that stand."""
    family = FAMILIES[table.family]
    lines = [f"nft table {family} {tables.TABLE}"]
    for chain in tables.CHAINS:
        lines.append(
            f"nft {family} chain {chain.name}: {chain.kind} {chain.number} {chain.priority}"
        )
        of_chain = (rule for rule in table.rules if rule.chain == chain.name)
        lines += [f"nft {family} {rule.chain}: {rule.comment()}" for rule in of_chain]
    return lines


def families(nft: socket.socket) -> dict[int, int]:
    """Return the families that have our table, each with the table's flags."""
    found = {}
    for body in netlink.dump(nft, _GET_TABLE, nlmsg.nfgenmsg(socket.AF_UNSPEC)):
        table = nlmsg.attributes(body[4:])
        if body[0] in FAMILIES and _text(table, 1) == tables.TABLE:
            found[body[0]] = struct.unpack("!I", table.get(2, bytes(4)))[0]
    return found


def standing(nft: socket.socket) -> list[str]:
    """Return the lines of the tables that stand."""
    lines = []
    for family, flags in sorted(families(nft).items()):
        name = FAMILIES[family]
        lines.append(f"nft table {name} {tables.TABLE}" + " (dormant)" * (flags & 1))
        head = nlmsg.nfgenmsg(family) + nlmsg.attribute(1, tables.TABLE.encode() + b"\0")
        rules = [nlmsg.attributes(body[4:]) for body in netlink.dump(nft, _GET_RULE, head)]
        for body in netlink.dump(nft, _GET_CHAIN, head):
            chain = nlmsg.attributes(body[4:])
            if _text(chain, 1) != tables.TABLE:
                continue
            lines.append(f"nft {name} {_chain(chain)}")
            lines += [
                f"nft {name} {_text(rule, 2)}: {_comment(rule.get(7, b''))}"
                for rule in rules
                if (_text(rule, 1), _text(rule, 2)) == (tables.TABLE, _text(chain, 3))
            ]
    return lines


def _chain(chain: dict[int, bytes]) -> str:
    """Return what a chain is; one that drops what no rule judges says so."""
    hook = nlmsg.attributes(chain.get(4, b""))
    number, priority = struct.unpack("!Ii", hook.get(1, bytes(4)) + hook.get(2, bytes(4)))
    drops = " (drop)" if chain.get(5, b"\0\0\0\1") == bytes(4) else ""
    return f"chain {_text(chain, 3)}: {_text(chain, 7)} {number} {priority}{drops}"


def _comment(userdata: bytes) -> str:
    """Return a rule's comment."""
    at = 0
    while at + 2 <= len(userdata):
        kind, length = userdata[at : at + 2]
        if kind == 0:
            return userdata[at + 2 : at + 2 + length].rstrip(b"\0").decode(errors="replace")
        at += 2 + length
    return "a rule of somebody else"


def _text(found: dict[int, bytes], kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")
