"""Which variables of the environment name a service, as data: those alone open ports; pure.

The environment is the caller's, and is read before the command starts. By each of these variables
programs are told where a server is that they are to use.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from relay.auto_ports.urls import port_of, ports_within
from relay.policy.host_ports import PortRange

_EDITORS: Final = {
    # Each is set in an editor's own terminal: the port at which it serves the agent started there.
    "CLAUDE_CODE_SSE_PORT": "claude",
    "GEMINI_CLI_IDE_SERVER_PORT": "gemini",
    "QWEN_CODE_IDE_SERVER_PORT": "qwen",
}
"""A port alone, by the agent that reads it."""

_MODELS: Final = {
    # Where the API of a model is: a router, a proxy that adds credentials, a model on this machine.
    "ANTHROPIC_BASE_URL": "claude and Anthropic's SDKs",
    "ANTHROPIC_BEDROCK_BASE_URL": "claude with CLAUDE_CODE_USE_BEDROCK",
    "ANTHROPIC_VERTEX_BASE_URL": "claude with CLAUDE_CODE_USE_VERTEX",
    "ANTHROPIC_FOUNDRY_BASE_URL": "claude with CLAUDE_CODE_USE_FOUNDRY",
    "AZURE_OPENAI_ENDPOINT": "OpenAI's SDKs",
    "CODEX_OSS_BASE_URL": "codex --oss",
    "GOOGLE_GEMINI_BASE_URL": "gemini and Google's SDKs",
    "GOOGLE_VERTEX_BASE_URL": "gemini and Google's SDKs",
    "LM_STUDIO_API_BASE": "LiteLLM, aider",
    "OLLAMA_API_BASE": "LiteLLM, aider",
    "OPENAI_API_BASE": "aider, older SDKs of OpenAI",
    "OPENAI_BASE_URL": "codex and OpenAI's SDKs",
}
"""A URL, by who reads it."""

_SERVICES: Final = {
    # What twelve-factor programs are told of the services that they use.
    "DATABASE_URL": "Prisma, Django, Rails, SQLAlchemy",
    "MONGODB_URI": "MongoDB's drivers",
    "REDIS_URL": "Redis' clients",
    # OpenTelemetry's exporters, claude's and gemini's among them.
    "OTEL_EXPORTER_OTLP_ENDPOINT": "all signals",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "logs",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "metrics",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "traces",
}
"""A URL, by who reads it."""

PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""A URL or HOST:PORT, in lower case too: curl(1)."""

_PROXY_PORT: Final = 1080
"""curl's, where a proxy is named without one."""

_OLLAMA: Final = {"OLLAMA_HOST": 11434}
"""HOST[:PORT] or a URL, with the port if it names none: ollama serve listens there too."""


def opened_by(environment: Mapping[str, str], where: str = "") -> Iterator[PortRange]:
    """Yield the ports of this machine that variables name; `where` is what has set them."""
    for name, port in _named(environment):
        yield PortRange(port, port, f"{name} of {where}" if where else name)


def _named(environment: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for name in _EDITORS:
        text = environment.get(name, "")
        port = port_of(f"localhost:{text}") if text.isdecimal() else None
        if port is not None:
            yield name, port
    for name in (*_MODELS, *_SERVICES):
        for port in ports_within(environment.get(name, "")):
            yield name, port
    for name, default in (*_OLLAMA.items(), *((each, _PROXY_PORT) for each in _proxies())):
        if (port := port_of(environment.get(name, ""), default)) is not None:
            yield name, port


def _proxies() -> Iterator[str]:
    for name in PROXIES:
        yield from (name, name.lower())
