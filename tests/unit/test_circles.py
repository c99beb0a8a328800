"""No module and no package imports itself, by whatever way: `python -m tests.support.imports`."""

from tests.support import imports


def test_no_import_goes_in_a_circle() -> None:
    found = imports.circles()
    assert not found, "\n".join(map(imports.shown, found))
