"""The verdicts of policy: Allow, Deny with the rule that denies, ByAddress; pure."""

from dataclasses import dataclass
from typing import Final

NOT_ALLOWED: Final = "no allow rule matches"
UNRESOLVED: Final = "no allow rule names it, and its addresses are the proxy's to find out"


@dataclass(frozen=True)
class Allow:
    """It may be reached."""


@dataclass(frozen=True)
class Deny:
    """It may not be reached."""

    rule: str
    """The rule that denies it; where none does, a sentence about why it is denied."""
    reason: str = ""
    """Why the rule exists, in the words of whoever wrote it."""
    source: str = ""
    """Where the rule stands: a file and line, a flag, a variable. Empty if no rule denies it."""

    @property
    def is_by_rule(self) -> bool:
        """Whether a deny rule is the cause: a rule has no whitespace in it, a sentence has."""
        return " " not in self.rule

    @property
    def told(self) -> str:
        """The rule with its reason, for the record and for people."""
        return f"{self.rule} ({self.reason})" if self.reason else self.rule


@dataclass(frozen=True)
class ByAddress:
    """No rule names the name, and some rule allows a network: each address of the name decides."""
