"""Settings as flags of a command, and what flags, environment and files say together."""

import argparse
import sys
from collections.abc import Container
from typing import Any, NoReturn

from netns.errors import EXIT_OWN_FAILURE
from relay import config, printing
from relay.config import files


class Parser(argparse.ArgumentParser):
    """Bad usage is our own failure, not the command's: 125, as env(1) has it."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the mistake."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_OWN_FAILURE, f"{self.prog}: {message}\n")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End after a help, a version or a mistake; what is printed is written first."""
        printing.write("")
        super().exit(status, message)


def add_settings(parser: argparse.ArgumentParser, without: Container[str] = ()) -> None:
    """Add a flag for each setting but some; types, bounds and help are those of config.Settings."""
    for setting in config.described():
        if setting.name in without:
            continue
        text = f"{setting.description} ({setting.shown_default})"
        how: dict[str, Any] = {"dest": setting.name, "help": text}
        if setting.kind is bool:
            how |= {"action": "store_const", "const": "false" if setting.default else "true"}
        elif setting.kind is tuple:
            how |= {"action": "append", "metavar": "X,..."}
        else:
            metavar = "N" if setting.kind is int else None
            how |= {"metavar": metavar, "choices": setting.choices or None}
        parser.add_argument(setting.flag, **how)


def settings(arguments: argparse.Namespace) -> config.Settings:
    """Return what flags, environment and files say together."""
    return sources(arguments).settings()


def sources(arguments: argparse.Namespace) -> config.Sources:
    """Read config file, environment and flags, and the files of the project."""
    words = {
        setting.name: ",".join(given) if isinstance(given, list) else given
        for setting in config.described()
        if (given := getattr(arguments, setting.name, None)) is not None
    }
    flags = {setting.name: f"{setting.flag}: " for setting in config.described()}
    return files.gathered(config.from_words(words, flags.__getitem__))
