"""The settings of a session: what they may be, how each source says them, what holds; pure."""

from relay.config.described import Described, described
from relay.config.entries import Entry, Project
from relay.config.reading import (
    SESSION_VARIABLE,
    from_environment,
    from_project,
    from_toml,
    from_words,
)
from relay.config.settings import (
    ConfigError,
    DestinationSettings,
    GatewayMode,
    Hold,
    Settings,
    Share,
    parse_nameserver,
)
from relay.config.sources import Sources, merge

__all__ = [
    "SESSION_VARIABLE",
    "ConfigError",
    "Described",
    "DestinationSettings",
    "Entry",
    "GatewayMode",
    "Hold",
    "Project",
    "Settings",
    "Share",
    "Sources",
    "described",
    "from_environment",
    "from_project",
    "from_toml",
    "from_words",
    "merge",
    "parse_nameserver",
]
