"""Which servers of this machine an agent's own settings name, as data: file by file; pure.

The files are the user's, in the home folder or where a variable says. What a project has
(.mcp.json, .claude/settings.json, opencode.json) is not among them: whoever can write there would
open ports.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from relay.auto_ports import variables
from relay.auto_ports.urls import ports_within
from relay.policy.host_ports import PortRange

Format: TypeAlias = str
"""`json`, in which comments may stand, or `toml`."""

ANY: Final = "*"
"""In a path: every name of a table."""
HERE: Final = "."
"""In a path: the names that are the working folder, or one above it."""

MOST: Final = 64
"""Ports that one file opens."""


class Place(NamedTuple):
    """What is read in a file: the names that lead there, and what stands there."""

    path: Sequence[str]
    has: str
    """`servers`: MCP servers by name; `variables`: an environment; `url`: a base URL."""


class Known(NamedTuple):
    """A file of an agent's settings."""

    agent: str
    home: str
    """The variable that names its folder, if it is set."""
    folder: str
    """That folder else, from the home folder; from the root if it begins with a slash."""
    name: str
    format: Format
    places: Sequence[Place]


_SERVERS: Final = Place(("mcpServers",), "servers")
_ENVIRONMENT: Final = Place(("env",), "variables")
_GEMINI: Final = (_SERVERS, Place(("telemetry", "otlpEndpoint"), "url"))
_OPENCODE: Final = (
    Place(("mcp",), "servers"),
    Place(("mcp", "servers"), "servers"),
    Place(("provider", ANY, "options", "baseURL"), "url"),
)

# fmt: off
FILES: Final = (
    # `claude mcp add` writes here: for the user, or by default for the user in one folder.
    Known("claude", "CLAUDE_CONFIG_DIR", "", ".claude.json", "json", (
        _SERVERS, Place(("projects", HERE, "mcpServers"), "servers"),
    )),
    Known("claude", "CLAUDE_CONFIG_DIR", ".claude", "settings.json", "json", (_ENVIRONMENT,)),
    # Root's, for all users of the machine.
    Known("claude", "", "/etc/claude-code", "managed-settings.json", "json", (_ENVIRONMENT,)),
    Known("claude", "", "/etc/claude-code", "managed-mcp.json", "json", (_SERVERS,)),
    Known("codex", "CODEX_HOME", ".codex", "config.toml", "toml", (
        Place(("mcp_servers",), "servers"),
        Place(("model_providers", ANY, "base_url"), "url"),
        Place(("openai_base_url",), "url"),
        Place(("chatgpt_base_url",), "url"),
    )),
    Known("gemini", "", ".gemini", "settings.json", "json", _GEMINI),
    Known("qwen", "", ".qwen", "settings.json", "json", (*_GEMINI, _ENVIRONMENT)),
    *(
        Known("opencode", "OPENCODE_CONFIG_DIR", ".config/opencode", name, "json", _OPENCODE)
        for name in ("opencode.json", "opencode.jsonc")
    ),
    Known("cursor", "", ".cursor", "mcp.json", "json", (_SERVERS,)),
    Known("copilot", "", ".copilot", "mcp-config.json", "json", (_SERVERS,)),
    Known("crush", "", ".config/crush", "crush.json", "json", (
        Place(("mcp",), "servers"), Place(("providers", ANY, "base_url"), "url"),
    )),
)
# fmt: on
"""goose, aider and continue have theirs in YAML, which is not read: --host-port opens a port."""

_STRING: Final = rb'("(?:[^"\\]|\\.)*+"?+)'
_COMMENT: Final = _STRING + rb"|//[^\n]*|/\*(?:.*?\*/|.*)"
_COMMA: Final = _STRING + rb"|,(?=\s*[}\]])"
"""What JSON does not have and settings do. What has no end matches as well, to be passed once."""

_Table: TypeAlias = Mapping[str, Any]


class UnreadableError(ValueError):
    """A file that is not what it should be."""


def opened_by(content: bytes, known: Known, shown: str, folders: Sequence[str]) -> list[PortRange]:
    """Return the ports of this machine that a file names, `shown` so for people.

    `folders` are the working folder and those above it. Raises UnreadableError.
    """
    try:
        document = _document(content, known.format)
        found = (
            each for place in known.places for each in _opened_at(document, place, shown, folders)
        )
        return list(islice(found, MOST))
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise UnreadableError(str(error)) from None


def _opened_at(
    document: Any, place: Place, shown: str, folders: Sequence[str]
) -> Iterator[PortRange]:
    for names, node in _reached(document, place.path, folders):
        value = msgspec.json.decode(node) if isinstance(node, msgspec.Raw) else node
        if place.has == "servers":
            for name, server in _table(value).items():
                for port in _ports_of_server(_table(server)):
                    yield PortRange(port, port, f"MCP server {name} of {shown}")
        elif place.has == "variables":
            texts = {name: text for name, text in _table(value).items() if isinstance(text, str)}
            yield from variables.opened_by(texts, shown)
        elif isinstance(value, str):
            for port in ports_within(value):
                yield PortRange(port, port, f"{'.'.join(names)} of {shown}")


def _ports_of_server(server: _Table) -> Iterator[int]:
    """Yield the ports that an MCP server has, or is told of: its URL, its words, its variables."""
    if server.get("disabled") is True or server.get("enabled") is False:
        return
    words = [server.get(key) for key in ("url", "httpUrl", "serverUrl", "command")]
    for key in ("args", "command", "env", "environment"):
        value = server.get(key)
        words += value if isinstance(value, list) else _table(value).values()
    for word in words:
        if isinstance(word, str):
            yield from ports_within(word)


def _document(content: bytes, form: Format) -> Any:
    """Read a file; of JSON no more than whether it is JSON. Raises what its reader raises."""
    if form == "toml":
        from relay.config import toml  # noqa: PLC0415 - 3 ms, and few have such a file

        return toml.loads(content.decode())
    try:
        return msgspec.json.decode(content, type=msgspec.Raw)
    except msgspec.DecodeError:
        for extra in (_COMMENT, _COMMA):
            content = re.sub(extra, rb"\1", content, flags=re.DOTALL)
        return msgspec.Raw(content)


def _reached(
    node: Any, path: Sequence[str], folders: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what a path leads to, with the names on the way."""
    if not path:
        yield (), node
        return
    table = _entered(node)
    first, *rest = path
    for name in {ANY: list(table), HERE: folders}.get(first, [first]):
        if name in table:
            for further, found in _reached(table[name], rest, folders):
                yield (name, *further), found


def _entered(node: Any) -> _Table:
    """Return a table; of JSON with its values as they are written, for most are of no interest."""
    if not isinstance(node, msgspec.Raw):
        return _table(node)
    try:
        return msgspec.json.decode(node, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:  # it is JSON, and no table
        return {}


def _table(value: Any) -> _Table:
    return value if isinstance(value, dict) else {}
