"""What a command line of keepline denies: by its flags, its environment and config.toml."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from relay import config
from relay.policy.index import Index


def denied(argv: Sequence[str], environment: Mapping[str, str], file: Path) -> Index:
    """Return the deny rules of a session; none where keepline will refuse its settings."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    flags = [word.partition("=")[2] for word in own if word.startswith("--deny=")]
    flags += [text for word, text in pairwise(own) if word == "--deny"]
    text = file.read_text(errors="replace") if file.is_file() else ""
    try:
        sources: list[dict[str, Any]] = [
            config.from_toml(text, str(file)),
            config.from_environment(environment),
            *(config.from_words({"deny": flag}, str) for flag in flags),
        ]
        entries = [entry for source in sources for entry in source.get("deny", ())]
        return Index(entry.rule() for entry in entries)
    except (ValueError, config.ConfigError):
        return Index(())
