"""What the sources say together, by how far each is trusted; pure.

Flags are trusted most, then the environment, config.toml, and the files of the project. Of most
settings that of the source that is trusted most holds. Deny rules add up. What is allowed, its
rules and presets together, is the list of one source, which a less trusted one cannot extend; the
files of the project can only narrow it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from relay.config.entries import Project
from relay.config.reading import Said
from relay.config.settings import ConfigError, Settings

_NOTHING: Final[Said] = {}


class Sources(NamedTuple):
    """What each source said at the start of a session."""

    environment: Said = _NOTHING
    flags: Said = _NOTHING
    file: Said = _NOTHING
    path: str = ""
    """Of config.toml, whether or not it exists."""
    projects: tuple[Project, ...] = ()
    asked: tuple[Project, ...] = ()
    """What a sealed container asks for: it can only tighten, and stays for the session."""

    @property
    def relay(self) -> str:
        """The socket of a relay outside, where sessions have one; empty for most."""
        trusted = (self.flags, self.environment, self.file)
        return next((each["relay"] for each in trusted if "relay" in each), "")

    def settings(self) -> Settings:
        """Return what holds; raises ConfigError."""
        return merge(
            self.file, self.environment, self.flags, projects=(*self.projects, *self.asked)
        )

    def changed(self, file: Said, projects: Iterable[Project]) -> "Sources":
        """Return the sources after their files have changed while a session runs.

        Raises ConfigError for a preset that is new to it: it would be read from the installation,
        which the program may be able to write.
        """
        if set(file.get("presets", ())) - set(self.file.get("presets", ())):
            raise ConfigError(f"{self.path}: a preset that is new to it needs a new session")
        return self._replace(file=file, projects=tuple(projects))


def merge(*sources: Mapping[str, Any], projects: Iterable[Project] = ()) -> Settings:
    """Make the settings of validated sources, a later one trusted more; raises ConfigError."""
    projects = tuple(projects)
    merged: Said = {}
    for source in sources:
        merged.update(source)
    merged.update(_policy(sources[::-1], projects))
    settings = Settings(**merged, projects=projects)
    if settings.policy_mode == "allowlist" and not (settings.allow or settings.presets):
        where = next((f"{project.path}: " for project in projects if project.is_allowlist), "")
        raise ConfigError(f"{where}mode allowlist without any allow rule or preset allows nothing")
    if settings.dns == "real" and settings.policy().has_names:
        raise ConfigError(
            "allow and deny by name need dns = synthetic: a real address does not show its name"
        )
    if settings.home == "private" and not settings.strict:
        raise ConfigError("home = private needs strict: without it all files are the caller's own")
    return settings


def _policy(trusted: Iterable[Mapping[str, Any]], projects: Iterable[Project]) -> Said:
    """Return what the sources say of policy, that which is trusted most first."""
    deny = [entry for source in trusted for entry in source.get("deny", ())]
    mode = "auto"
    said: Said = {"deny": tuple(deny)}
    for source in trusted:
        has_list = "allow" in source or "presets" in source
        if mode == "auto" and "allow" not in said:
            mode = source.get("policy_mode", "auto")
        if has_list and "allow" not in said:
            said |= {"allow": source.get("allow", ()), "presets": source.get("presets", ())}
    if any(project.is_allowlist and not project.allow for project in projects):
        mode = "allowlist"
    return said | {"policy_mode": mode}
