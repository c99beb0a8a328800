"""What levels leave open: named once each, and strict leaves open nothing that default closes."""

from netns.levels import OPENINGS


def test_each_is_named_once_and_in_a_sentence() -> None:
    assert len({opening.name for opening in OPENINGS}) == len(OPENINGS)
    assert all(opening.sentence and opening.levels for opening in OPENINGS)


def test_strict_leaves_open_nothing_that_the_default_level_closes() -> None:
    assert all("default" in opening.levels for opening in OPENINGS)


def test_what_is_for_root_alone_is_not_open_to_a_user() -> None:
    for_root = [opening for opening in OPENINGS if not opening.is_for_user]
    assert for_root
    assert all(opening.is_open("default", is_root=True) for opening in for_root)
    assert not any(opening.is_open("default", is_root=False) for opening in for_root)
    assert not OPENINGS[0].is_open("nothing", is_root=True)
