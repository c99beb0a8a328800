"""What a row is: a flood, who makes it, what it may cost, what is said of it; no I/O here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from tests.support.command.keepline import Keepline
from tests.support.internet.world import Internet

if TYPE_CHECKING:
    from .stage import Stage

Attacker: TypeAlias = Literal["a program inside", "an upstream", "a zone"]
Figures: TypeAlias = dict["Figure", float]


class Figure(NamedTuple):
    """Something that is measured."""

    name: str
    unit: str
    is_time: bool = False
    """Whether a slower machine needs more of it; its bounds are those of a quiet machine."""
    least: float = 1.0
    """Below it figures are the same to a reader."""

    def __str__(self) -> str:
        """Return it as a page names it."""
        return self.name


PROCESSOR: Final = Figure("processor", "s", is_time=True, least=0.1)
"""Seconds that the relay has computed, in user and kernel mode together."""
MEMORY: Final = Figure("memory", "MiB")
"""What the relay's resident memory has grown by at its peak."""
BUFFERS: Final = Figure("kernel buffers", "MiB")
"""What the kernel keeps for the relay's sockets."""
DESCRIPTORS: Final = Figure("descriptors", "")
"""How many the relay has opened beside those from before, at a moment that the row chooses."""
OTHERS: Final = Figure("others wait", "s", is_time=True, least=0.1)
"""The longest wait of another program for a new name, a connection and a byte of an answer."""
RECORD: Final = Figure("record", "lines")
"""Lines of the session's record at its end."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One flood."""

    attacker: Attacker
    flood: str
    """What is done; with the attacker it names the row."""
    play: "Callable[[Stage], Awaitable[None]]"
    """Makes the flood, within `stage.measured()`; what the attacker is to meet is asserted here."""
    bounds: Mapping[Figure, float]
    """At most so much of each; all else is not shown."""
    meets: str
    """What the attacker meets, in words."""
    said: str = ""
    """What the session's record or its last line on stderr says of it, a part of one line."""
    prepare: "Callable[[Stage], Awaitable[None]] | None" = None
    """Starts what has to be there before keepline is."""
    keepline: Callable[[Internet], Keepline] = Keepline
    options: Sequence[str] = ()
    """Those of `keepline run`."""
    popen: Mapping[str, Any] = field(default_factory=dict)
    """How keepline is started: subprocess.Popen's keywords."""
    status: int = 0
    """Of keepline."""

    @property
    def name(self) -> str:
        """Return what it is found by."""
        return f"{self.attacker}: {self.flood}"
