"""What was seen lately: so many, the newest, whatever was added and taken away."""

from hypothesis import given
from hypothesis import strategies as st

from relay.outbound.lately import Lately


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_the_newest_are_remembered(steps: list[tuple[bool, int]]) -> None:
    lately, newest = Lately[int](4), list[int]()
    for adds, one in steps:
        if one in newest:
            newest.remove(one)
        if adds:
            newest.append(one)
            lately.add(one)
        else:
            lately.discard(one)
        del newest[:-4]
        assert len(lately) == len(newest)
        assert [each for each in range(10) if each in lately] == sorted(newest)
