"""Reads what one source says, a text or words, and names the place of a mistake in it; pure.

Each source is validated on its own, one key at a time, so that an error can name the place to mend.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from relay.config import toml
from relay.config.entries import Entry, Project
from relay.config.publishing import OFF
from relay.config.settings import DEFAULTS, ConfigError, Settings, words
from relay.policy.host_ports import PortRange
from relay.proxies import url

ENVIRONMENT_PREFIX: Final = "KEEPLINE_"
SESSION_VARIABLE: Final = "KEEPLINE_SESSION"

Said: TypeAlias = dict[str, Any]
"""Settings of one source, by name, converted and validated."""

_TABLES: Final = {
    "gateway": {
        "mode": "gateway",
        "hosts": "gateway_hosts",
        "hold": "hold",
        "stream_silence": "stream_silence",
    },
    "policy": {
        "mode": "policy_mode",
        "presets": "presets",
        "private": "private",
        "allow": "allow",
        "deny": "deny",
    },
}
"""What may stand in a table of the file, and the setting that it is."""

_RULES: Final = ("allow", "deny")
_LISTED: Final = (*_RULES, "presets")
"""Lists of which an empty one is a mistake: it is meant to say something, and says nothing."""

_QUOTED: Final = r"\"[^\"]*\"|'[^']*'"
"""A string within a line."""

_EMPTY: Final = "it is empty: name what it is about, or leave it out"


def from_toml(text: str, path: str) -> Said:
    """Read a config file; raises ConfigError with path, line and key."""
    file = _File(text, path)
    said = _validate(file.values, file.place, strict=True)
    for key in _RULES:
        if key in said:
            said[key] = tuple(file.placed(key, said[key]))
    _place_ports(said, file.place)
    for key in ("allow", "presets"):
        if said.get(key) == ():
            raise ConfigError(f"{file.place(key)}{key}: {_EMPTY}")
    return said


def from_project(text: str, path: str) -> Project:
    """Read the file of a project, which can only tighten; raises ConfigError alike."""
    file = _File(text, path)
    said = from_toml(text, path)
    for key, value in said.items():
        may = {"policy_mode": "allowlist", "private": "deny", "allow": value, "deny": value}
        may["publish"] = OFF
        if may.get(key) != value:
            raise ConfigError(
                f"{file.place(key)}{file.keys.get(key, key)}: the file of a project can only"
                " tighten, by deny, allow, mode = allowlist, private = deny and publish = off"
            )
    is_allowlist = said.pop("policy_mode", None) is not None
    is_unpublished = said.pop("publish", None) is not None
    return Project(path=path, is_allowlist=is_allowlist, is_unpublished=is_unpublished, **said)


class _File:
    """The values of a config file, tables dissolved, and where they stand."""

    def __init__(self, text: str, path: str) -> None:
        self.keys: dict[str, str] = {}
        """The names that settings have in the file, where these are others."""
        self._text, self._path = text, path
        try:
            self.values = toml.loads(text)
        except toml.DeepKeyError as error:
            cause = "a key of more parts than any setting has"
            raise ConfigError(f"{path}:{error.line}: {cause}") from None
        except (ValueError, RecursionError) as error:  # too long a number, too many brackets
            raise ConfigError(f"{path}: {error}") from None
        for name, settings in _TABLES.items():
            table = self.values.get(name)
            if isinstance(table, dict):
                del self.values[name]
                self._dissolve(name, table, settings)

    def _dissolve(self, name: str, table: Mapping[str, Any], settings: Mapping[str, str]) -> None:
        for key, value in table.items():
            if key not in settings:
                cause = f"there is no such setting, but {', '.join(settings)}"
                raise ConfigError(f"{self.place(key)}{name}.{_shown(key)}: {cause}")
            setting = settings[key]
            self.keys[setting] = key
            above = self.values.get(setting, [])
            if not isinstance(above, list) or (above and not isinstance(value, list)):
                raise ConfigError(f"{self.place(key)}{name}.{key}: {setting} says it already")
            self.values[setting] = [*above, *value] if isinstance(value, list) else value

    def place(self, key: str) -> str:
        """Return the beginning of an error about a key."""
        return f"{self._path}:{_line_of(self.keys.get(key, key), self._text)}: "

    def placed(self, key: str, entries: tuple[str | Entry, ...]) -> Iterator[Entry]:
        """Return rules with the lines in which they stand."""
        begin = _line_of(key, self._text)
        lines: dict[str, int] = {}
        for number, line in enumerate(self._text.splitlines()[begin - 1 :], begin):
            for quoted in re.findall(_QUOTED, line):
                lines.setdefault(quoted[1:-1], number)
        for each in entries:
            entry = Entry(host=each) if isinstance(each, str) else each
            line_of_it = lines.get(entry.host, begin)
            yield msgspec.structs.replace(entry, source=f"{self._path}:{line_of_it}")


def _shown(key: str) -> str:
    """Return a key for people: it may be anybody's text, for a terminal."""
    return key if key.isprintable() else ascii(key)


def _line_of(key: str, text: str) -> int:
    """Find the line that sets `key`; 1 if none does."""
    pattern = re.compile(rf"[\s\[]*[\"']?{re.escape(key)}\b")
    return next((n for n, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def from_environment(environment: Mapping[str, str]) -> Said:
    """Read KEEPLINE_*; a list is separated by commas. Raises ConfigError."""
    values = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): text
        for name, text in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name != SESSION_VARIABLE
    }
    return from_words(values, lambda key: f"{ENVIRONMENT_PREFIX}{key.upper()}: ")


def from_words(values: Mapping[str, str], place: Callable[[str], str]) -> Said:
    """Convert words to their types: lists are separated by commas. Raises ConfigError."""
    split: dict[str, Any] = {}
    for key, text in values.items():
        if not isinstance(DEFAULTS.get(key), tuple):
            split[key] = text
        elif key not in _LISTED:
            split[key] = [part for part in text.split(",") if part]
        elif text.strip():
            split[key] = [part.strip() for part in text.split(",")]
        else:
            raise ConfigError(f"{place(key)}{key}: {_EMPTY}")
    said = _validate(split, place, strict=False)
    for key in _RULES:
        if key in said:
            source = place(key).removesuffix(": ")
            said[key] = tuple(Entry(host=text, source=source) for text in said[key])
    _place_ports(said, place)
    return said


def _place_ports(said: Said, place: Callable[[str], str]) -> None:
    """Note of ports of the host where they stand."""
    if ports := said.get("host_ports"):
        source = place("host_ports").removesuffix(": ")
        said["host_ports"] = tuple(PortRange.parse(str(each), source) for each in ports)


def _validate(values: Mapping[str, Any], place: Callable[[str], str], *, strict: bool) -> Said:
    """Convert one key at a time, so that the mistake's key is known."""
    converted = {}
    for key, value in values.items():
        if key not in DEFAULTS or key == "projects":
            raise ConfigError(f"{place(key)}{_shown(key)}: there is no such setting")
        try:
            settings = msgspec.convert({key: value}, Settings, strict=strict)
        except msgspec.ValidationError as error:
            message = str(error).partition(" - at ")[0]
            if message.startswith("Invalid enum value"):
                message += f", not one of {', '.join(words(key))}"
            raise ConfigError(f"{place(key)}{key}: {message}") from None
        converted[key] = getattr(settings, key)
    _check_proxy(converted, place)
    return converted


def _check_proxy(said: Said, place: Callable[[str], str]) -> None:
    """Raise ConfigError for a URL of a proxy that cannot be used; it is not repeated."""
    text = said.get("proxy", "auto")
    if text not in {"auto", "off"}:
        try:
            url.parse(text)
        except ValueError as error:
            raise ConfigError(f"{place('proxy')}proxy {error}") from None
