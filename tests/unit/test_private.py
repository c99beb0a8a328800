"""The private attributes that tests reach are counted, and the count only falls."""

import pytest

from tests.support.private import in_source, reached

CEILING = 6
"""As many as there are: whoever reaches one fewer lowers it, and nobody raises it."""


def test_no_test_reaches_one_more() -> None:
    places = reached()
    assert len(places) == CEILING, "\n".join(places)


@pytest.mark.parametrize(
    "source",
    [
        "made._key",
        "made._key = 1",
        "del made().parts[0]._key",
        "self.made._key",
        "setattr(made, '_key', 1)",
        "patch.setattr(made, '_key', 1)",
        "patch.setattr('relay.made._key', 1)",
        "getattr(made, '_key')",
        "from relay.made import _key",
    ],
)
def test_what_is_private_is_counted(source: str) -> None:
    assert len(list(in_source(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "self._key",
        "cls._key",
        "made.key",
        "made.__dict__",
        "os._exit(0)",
        "made._replace(key=1)",
        "setattr(made, 'key', 1)",
    ],
)
def test_what_is_ones_own_or_public_is_not(source: str) -> None:
    assert list(in_source(source)) == []
