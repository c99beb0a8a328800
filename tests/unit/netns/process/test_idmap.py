"""The range of ids that root maps is what its own namespace has, each id to itself."""

import pytest

from netns.process.idmap import identity_map


@pytest.mark.parametrize(
    ("own", "written"),
    [
        ("         0          0 4294967295\n", "0 0 4294967295\n"),
        ("0 100000 65536\n", "0 0 65536\n"),
        (
            "         0       1000          1\n         1     100000      65536\n",
            "0 0 1\n1 1 65536\n",
        ),
        ("", ""),
    ],
)
def test_every_extent_is_mapped_to_itself(own: str, written: str) -> None:
    assert identity_map(own) == written


@pytest.mark.parametrize("text", ["0 0", "0 0 1 1", "0 0 x", "\n"])
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        identity_map(text)
