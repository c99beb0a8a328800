"""A rule, read once and written in one form: HOST[:PORT]; pure.

HOST is a name, `*.name` for all names below it, `*` for everything, an address, or a network;
without a port it holds for all. A name may have the escapes of RFC 1035 section 5.1, or be written
in Unicode (IDNA, RFC 5891). What could never match is an error.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Final, Literal, NamedTuple, TypeAlias

from relay.addresses import ipv4_network, is_ipv4, is_loopback, numbers_and_dots, split_port
from relay.policy import names

Kind: TypeAlias = Literal["name", "below", "all", "network"]
"""Whom a rule is about: one name, all names below one, everything, or addresses."""

_ESCAPED: Final = re.compile(r"\\.")
_ODD: Final = re.compile(r"[^-.\w]", re.ASCII)
"""What no host name has in it: mostly a slip, such as a comma between two rules."""

_FORM: Final = "the form is HOST[:PORT]"


class Rule(NamedTuple):
    """One rule."""

    text: str
    """As it was written, without whitespace around it."""
    kind: Kind
    name: names.Key = names.NO_NAME
    """Of `name` and `below`."""
    network: IPv4Network | None = None
    port: int | None = None
    """None for all ports."""
    source: str = ""
    """Where it stands: a file and line, a flag, a variable, a preset."""
    reason: str = ""
    """Why it exists, in the words of whoever wrote it."""
    is_preset: bool = False
    """Whether it came with keepline: it opens no private address."""

    @classmethod
    def parse(
        cls, text: str, *, source: str = "", reason: str = "", is_preset: bool = False
    ) -> "Rule":
        """Read HOST[:PORT]; raises ValueError with the rule, the mistake and the next step."""
        try:
            read = _read(text.strip())
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None
        return read._replace(source=source, reason=reason, is_preset=is_preset)

    @property
    def is_of_loopback(self) -> bool:
        """Whether it is about loopback alone: each host has its own."""
        if self.network is not None:
            return is_loopback(str(self.network.network_address)) and self.network.prefixlen >= 8
        wire, starts = self.name
        return bool(starts) and wire[starts[-1] :] == b"\x09localhost"

    @property
    def is_by_name(self) -> bool:
        """Whether it speaks of names: all but addresses and networks do."""
        return self.network is None


def one_host(text: str) -> tuple[str, int | None]:
    """Read HOST[:PORT] of one name or address, not of several; raises ValueError alike."""
    rule = Rule.parse(text)
    host, port = _split(text.strip())
    if rule.kind in {"below", "all"} or (rule.network and rule.network.prefixlen < 32):
        raise ValueError(f"{text!r}: it is about many hosts: name one of them")
    return _ascii(host).lower().removesuffix("/32"), port


@lru_cache(maxsize=1 << 15)  # settings are read and then merged: each rule twice or more
def _read(text: str) -> Rule:
    host, port = _split(text)
    if not host or any(c.isspace() for c in host):
        raise ValueError(_FORM)
    if not host.isprintable():
        raise ValueError("it has a character that nobody sees: write its octet, as in \\027")
    if host == "*":
        return Rule(text, "all", port=port)
    below = host.startswith("*.")
    host = _ascii(host.removeprefix("*."))
    network = _network(host)
    if network is not None:
        if below:
            raise ValueError("names below an address do not exist: leave the star out")
        return Rule(text, "network", network=network, port=port)
    return Rule(text, "below" if below else "name", _key(host, below=below), port=port)


def _split(text: str) -> tuple[str, int | None]:
    """Split host and port; the dot of the root (RFC 1034 section 3.1) is left out."""
    if "://" in text:
        raise ValueError("it is the address of a page: write its host alone, HOST[:PORT]")
    if text.count(":") > 1 or text.startswith("["):
        raise ValueError("it is an IPv6 address, and keepline sends no IPv6: leave it out")
    host, port = split_port(text)
    return _without_root(host), port


def _without_root(host: str) -> str:
    return (
        host[:-1] if host.endswith(".") and names.labels(host) == names.labels(host[:-1]) else host
    )


def _ascii(host: str) -> str:
    """Return a name in ASCII: what is beyond it is converted as browsers do (UTS 46)."""
    if host.isascii():
        return host
    import idna  # noqa: PLC0415 - few rules need it, and it takes 4 ms

    try:
        return _without_root(idna.encode(host, uts46=True).decode("ascii"))
    except idna.IDNAError as error:
        raise ValueError(
            f"it is no internationalized name ({error}): write its xn-- form"
        ) from None


def _network(host: str) -> IPv4Network | None:
    """Return the network of an address or ADDRESS/LENGTH; None if it is a name."""
    address, slash, _ = host.partition("/")
    if not _is_number(address.rpartition(".")[2]):
        if slash:
            raise ValueError("a length follows an IPv4 address alone: leave it out")
        return None
    if not is_ipv4(address):
        if meant := numbers_and_dots(address):
            raise ValueError(f"programs read it as the address {meant}: write that")
        raise ValueError("it ends in a number and is no IPv4 address, which no name does")
    try:
        return ipv4_network(host)
    except (AddressValueError, NetmaskValueError):
        raise ValueError("the length of a network is a number from 0 to 32") from None
    except ValueError:
        whole = IPv4Network(host, strict=False)
        raise ValueError(f"it has bits set beyond its length: write {whole}") from None


def _is_number(label: str) -> bool:
    """Return whether a last label is one of an address, as the URL standard has it."""
    return label.isdecimal() or label[:2].lower() == "0x"


def _key(host: str, *, below: bool) -> names.Key:
    labels = names.labels(host)
    plain = _ESCAPED.sub("", host)
    if "*" in plain:
        raise ValueError("a star stands for whole labels at the start, as in *.name")
    if odd := _ODD.search(plain):
        octet = f"\\{ord(odd[0]):03}"
        raise ValueError(f"no host name has {odd[0]} in it: write {octet} if it is meant")
    if not all(labels):
        raise ValueError("a label of it is empty: the dots are one too many")
    if any(len(label) > names.MOST_OCTETS_OF_LABEL for label in labels):
        raise ValueError(f"a label is above {names.MOST_OCTETS_OF_LABEL} octets, which no name has")
    if not names.is_well_formed((b"*", *labels) if below else labels):
        raise ValueError("it is above 253 characters, which no name is")
    return names.key(host)
