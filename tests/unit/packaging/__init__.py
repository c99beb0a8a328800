"""What packaging/ has, read and compared with what keepline says of itself; nothing is run."""

from pathlib import Path
from typing import Any, Final

import yaml

from relay.sidecar.command import WORDS

ROOT: Final = Path(__file__).resolve().parents[3]
FOLDER: Final = ROOT / "packaging"
IMAGE: Final = "localhost/keepline"
STATE: Final = "/var/lib/keepline"


def read(name: str) -> Any:
    """Return a YAML file as it is parsed."""
    return yaml.safe_load((FOLDER / name).read_text())


def is_command(words: list[str]) -> bool:
    """Return whether these words are a command of keepline's for pods."""
    return words[:2] == ["keepline", "sidecar"] and words[2] in WORDS
