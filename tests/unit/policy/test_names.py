"""Names are compared as DNS has them on the wire: dnspython reads and writes the same labels."""

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.policy.names import is_well_formed, key, labels

LABEL = st.binary(min_size=1, max_size=63)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.Example", (b"a", b"example")),
        ("a.example.", (b"a", b"example")),
        (r"a\.b.example", (b"a.b", b"example")),
        (r"\$.example", (b"$", b"example")),
        (r"\001\065.example", (b"\x01a", b"example")),
        (r"\300.example", (b"300", b"example")),  # no octet
        (r"\20.example", (b"20", b"example")),
        ("a\\", (b"a\\",)),
        (r"a.b\.", (b"a", b"b.")),
        ("bücher", ("bücher".encode(),)),
        ("a..b", (b"a", b"", b"b")),
        ("", (b"",)),
        (".", (b"",)),
    ],
)
def test_labels(text: str, found: tuple[bytes, ...]) -> None:
    assert labels(text) == found


@given(st.lists(LABEL, min_size=1, max_size=3))
def test_what_dnspython_writes_is_read_as_its_labels(written: list[bytes]) -> None:
    name = dns.name.Name([*written, b""])
    assert labels(name.to_text()) == tuple(label.lower() for label in written)
    assert labels(name.to_text(omit_final_dot=True)) == labels(name.to_text())


@given(st.lists(LABEL, min_size=1, max_size=3))
def test_a_key_is_the_wire_format(written: list[bytes]) -> None:
    name = dns.name.Name([*written, b""])
    wire = name.canonicalize().to_wire()
    assert wire is not None
    assert key(name.to_text()).wire + b"\0" == wire


@given(st.text())
def test_any_text_has_labels(text: str) -> None:
    assert len(key(text).starts) == len(labels(text)) > 0


def test_a_long_text_is_read_alike() -> None:
    text = ".".join(["a" * 300, *"b" * 1000])
    assert list(key(text).above(2)) == [b"\1b\1b", b"\1b"]
    assert list(key("A.b.c.d").above(9)) == [b"\1b\1c\1d", b"\1c\1d", b"\1d"]
    assert list(key("a.b").above(0)) == []


@given(st.lists(st.binary(max_size=70), min_size=1, max_size=6))
def test_what_dns_can_carry(written: list[bytes]) -> None:
    try:
        dns.name.Name([*written, b""])
    except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
        assert not is_well_formed(tuple(written))
    else:
        assert is_well_formed(tuple(written))
