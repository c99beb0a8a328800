"""Which servers of this machine agents' settings name."""

import contextlib
import json
import time
from typing import Any

import pytest

from relay.auto_ports.agents import FILES, MOST, Known, UnreadableError, opened_by
from tests.support.pace import within

FOLDERS = ["/home/u/p/sub", "/home/u/p", "/home/u", "/home", "/"]


def known(agent: str, name: str) -> Known:
    return next(each for each in FILES if (each.agent, each.name) == (agent, name))


def opened(agent: str, name: str, content: Any) -> list[tuple[int, str]]:
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    found = opened_by(written, known(agent, name), "FILE", FOLDERS)
    assert all(each.first == each.last for each in found)
    return [(each.first, each.source) for each in found]


def servers(**urls: str) -> dict[str, Any]:
    return {"mcpServers": {name: {"type": "http", "url": url} for name, url in urls.items()}}


def test_the_mcp_servers_of_the_user() -> None:
    content = servers(a="http://localhost:3000/mcp", b="https://mcp.example.com") | {
        "history": ["http://localhost:1"],
        "projects": {"/elsewhere": servers(c="http://localhost:2")},
    }
    assert opened("claude", ".claude.json", content) == [(3000, "MCP server a of FILE")]


def test_those_that_were_added_in_this_folder_or_above_it() -> None:
    projects = {
        "/home/u/p": servers(a="http://localhost:1"),
        "/home/u/p/sub/sub": servers(b="http://localhost:2"),
        "/home/u/q": servers(c="http://localhost:3"),
    }
    content = {"projects": projects}
    assert opened("claude", ".claude.json", content) == [(1, "MCP server a of FILE")]


def test_what_a_server_is_told_of() -> None:
    server = {
        "command": "npx",
        "args": ["-y", "postgres-mcp", "postgresql://u:p@localhost/db", 7],
        "env": {"API": "http://127.0.0.1:8000", "OTHER": "http://api.example.com", "N": 1},
    }
    assert opened("claude", ".claude.json", {"mcpServers": {"db": server}}) == [
        (5432, "MCP server db of FILE"),
        (8000, "MCP server db of FILE"),
    ]


@pytest.mark.parametrize("off", [{"disabled": True}, {"enabled": False}])
def test_a_server_that_is_off_opens_nothing(off: dict[str, bool]) -> None:
    server = {"url": "http://localhost:1"}
    assert opened("cursor", "mcp.json", {"mcpServers": {"a": server}})
    assert not opened("cursor", "mcp.json", {"mcpServers": {"a": server | off}})


def test_variables_that_settings_set() -> None:
    env = {"ANTHROPIC_BASE_URL": "http://localhost:4000", "X": "http://localhost:1", "N": 1}
    assert opened("claude", "settings.json", {"env": env}) == [(4000, "ANTHROPIC_BASE_URL of FILE")]


def test_toml() -> None:
    content = b"""
        model_provider = "local"
        [model_providers.local]
        base_url = "http://localhost:8000/v1"
        [mcp_servers.a]
        url = "http://127.0.0.1:3000/mcp"
        [mcp_servers.b]
        command = "npx"
        args = ["http://[::1]:3001"]
        enabled = false
        [projects."/home/u"]
        trust_level = "trusted"
    """
    assert opened("codex", "config.toml", content) == [
        (3000, "MCP server a of FILE"),
        (8000, "model_providers.local.base_url of FILE"),
    ]


def test_both_forms_of_opencode_with_comments() -> None:
    content = b"""{ // mine
        "mcp": {"a": {"type": "remote", "url": "http://localhost:1"}, /* and
            those of its second version */ "servers": {"b": {"command": ["x", "http://localhost:2"]},}},
        "provider": {"ollama": {"options": {"baseURL": "http://localhost:11434/v1"}}},
        "note": "// no comment, /* nor this",
    }"""
    assert opened("opencode", "opencode.jsonc", content) == [
        (1, "MCP server a of FILE"),
        (2, "MCP server b of FILE"),
        (11434, "provider.ollama.options.baseURL of FILE"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"7",
        b'{"mcpServers":[],"projects":7}',
        b'{"mcpServers":{"a":[],"b":{"args":7,"env":"x","url":["http://localhost:1"]}}}',
        b'{"projects":{"/home/u":[]}}',
        b'{"telemetry":{"otlpEndpoint":4317}}',
    ],
)
def test_other_shapes_open_nothing(content: bytes) -> None:
    assert opened("claude", ".claude.json", content) == []
    assert opened("gemini", "settings.json", content) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"localhost",
        b"\xff",
        b"[" * 100_000,
        b'{"mcpServers":{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_no_json_is_told(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        opened("claude", ".claude.json", content)


@pytest.mark.parametrize(
    "content", [b"\xff", b"a = ", b"a = " + b"[" * 10_000, b"a." * 50 + b"a=1"]
)
def test_what_is_no_toml_is_told(content: bytes) -> None:
    with pytest.raises(UnreadableError):
        opened("codex", "config.toml", content)


def test_a_file_opens_so_many_ports_and_no_more() -> None:
    many = servers(**{f"s{port}": f"http://localhost:{port}" for port in range(1, 1000)})
    assert len(opened("claude", ".claude.json", many)) == MOST


@pytest.mark.parametrize(
    "content", [b'"' + b'\\"' * 500_000, b"/*" * 500_000, b"," * 1_000_000, b'"' * 999_999]
)
def test_whatever_it_holds_it_is_read_quickly(content: bytes) -> None:
    begin = time.process_time()
    with contextlib.suppress(UnreadableError):
        assert opened("claude", ".claude.json", content) == []
    assert within(time.process_time() - begin, 1)
