"""The file of names is read whoever has written it: what is no line of it is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.addresses import canonical, ipv4_text, is_ipv4
from relay.sidecar.kept import names_text
from relay.sidecar.kept.names_text import HEADER, read, whole, written

NAMES = st.from_regex(r"[a-z0-9_-]{1,20}(\.[a-z0-9-]{1,20}){0,3}", fullmatch=True)
ADDRESSES = st.integers(0, 2**32 - 1).map(ipv4_text)
TABLES = st.dictionaries(ADDRESSES, NAMES, max_size=30).map(
    lambda table: list({name: address for address, name in table.items()}.items())
)


@given(TABLES)
def test_what_is_written_is_read(table: list[tuple[str, str]]) -> None:
    names = [(address, name) for name, address in table]
    assert read(written(names)) == names


@given(TABLES, st.integers(0, 2000))
def test_a_torn_last_line_is_dropped_and_no_other(table: list[tuple[str, str]], cut: int) -> None:
    names = [(address, name) for name, address in table]
    data = written(names)[: max(len(HEADER), cut)]
    found = read(data)
    assert found == names[: len(found)]
    assert len(found) == data.count(b"\n") - 1
    assert whole(data) == data.rfind(b"\n") + 1


@given(st.binary(max_size=300).map(lambda data: HEADER + data))
def test_any_bytes_come_to_addresses_and_canonical_names(data: bytes) -> None:
    found = read(data)
    for address, name in found:
        assert is_ipv4(address)
        assert name == canonical(name)
        assert name.isascii()
        assert name.isprintable()
        assert " " not in name
    assert len({address for address, _ in found}) == len({name for _, name in found}) == len(found)
    assert read(written(found)) == found


def test_the_latest_line_of_an_address_or_a_name_counts() -> None:
    lines = (b"198.18.1.1 a.test\n", b"198.18.1.2 b.test\n", b"198.18.1.1 b.test\n")
    assert read(HEADER + b"".join(lines)) == [("198.18.1.1", "b.test")]
    assert read(HEADER + b"".join((*lines, lines[0]))) == [("198.18.1.1", "a.test")]


@pytest.mark.parametrize(
    "data", [b"", b"198.18.1.1 a.test\n", b"keepline names 2\n198.18.1.1 a.test\n", HEADER[:-1]]
)
def test_a_file_of_another_kind_has_nothing(data: bytes) -> None:
    assert (read(data), whole(data)) == ([], 0)


@pytest.mark.parametrize(
    "line",
    [b"198.18.1 a.test", b"1.2.3.4", b"1.2.3.4 A.test", b"1.2.3.4 a.test.", b"1.2.3.4 a b"],
)
def test_what_is_no_line_is_left_out(line: bytes) -> None:
    assert read(HEADER + line + b"\n1.2.3.5 c.test\n") == [("1.2.3.5", "c.test")]


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "Ä.test", "x" * 1025])
def test_no_line_is_written_that_would_not_be_read(name: str) -> None:
    with pytest.raises(ValueError, match="canonical"):
        names_text.line("1.2.3.4", name)
