"""What is in the buffers of a thing and how often its bytes are looked at, and how data is cut.

`count_in(made)` replaces each bytearray in `made`, and in what it is made of, by one that counts;
the tests need not know how any of them is called.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, Self

from hypothesis import strategies as st

from relay.gateway.answers.hold import Step

BOM: Final = b"\xef\xbb\xbf"
ENDS: Final = (b"\n", b"\r", b"\r\n")
CUTS: Final = st.lists(st.integers(0, 300), max_size=30)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut at these places; twice at one is an empty chunk."""
    places = [0, *sorted(min(place, len(data)) for place in cuts), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


class Counted(bytearray):
    """Counts the bytes that pass through it, or are looked at, by any method."""

    touched = 0

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__") and name not in {"clear", "touched"}:
            type(self).touched += len(self)
        return super().__getattribute__(name)

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        type(self).touched += len(found) if isinstance(found, bytearray) else 1
        return found

    def __iadd__(self, other: Any) -> Self:  # type: ignore[misc]  # bytearray adds to bytes too
        type(self).touched += len(other)
        super().__iadd__(other)
        return self

    def __bytes__(self) -> bytes:
        type(self).touched += len(self)
        return memoryview(self).tobytes()


def bytes_of(step: Step) -> bytes:
    """Return what a step delivers."""
    return b"".join(step.deliver)


def giving(data: bytes) -> Step:
    """Return the step that delivers some bytes, of no more than one piece."""
    return Step([bytearray(data)])


def whole(step: Step) -> Step:
    """Return a step with what it delivers in one piece."""
    return Step([bytearray(bytes_of(step))], *step[1:])


def count_in(owner: object) -> int:
    """Let each buffer count from now on; return how many there are."""
    Counted.touched = 0
    found = list(_buffers(owner))
    for its_owner, name, buffer in found:
        setattr(its_owner, name, Counted(buffer))
    return len(found)


def counted(owner: object) -> int:
    """Return how many buffers still count: one that was replaced counts no more."""
    return sum(type(buffer) is Counted for _owner, _name, buffer in _buffers(owner))


def held(owner: object) -> int:
    """Return the number of bytes in all buffers, and in what is kept as bytes."""
    return sum(len(buffer) for _owner, _name, buffer in _buffers(owner, (bytes, bytearray)))


def _buffers(
    owner: object, kinds: tuple[type, ...] = (bytearray,)
) -> Iterator[tuple[object, str, Any]]:
    """Yield the buffers of an object and of the relay's objects that it is made of."""
    for name, value in vars(owner).items():
        if isinstance(value, kinds):
            yield owner, name, value
        elif type(value).__module__.startswith("relay.") and hasattr(value, "__dict__"):
            yield from _buffers(value, kinds)
