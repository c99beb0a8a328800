"""Which ports the environment opens."""

from relay.auto_ports.variables import opened_by
from relay.policy.host_ports import PortRange


def ports(environment: dict[str, str], where: str = "") -> list[PortRange]:
    return list(opened_by(environment, where))


def test_an_editor_s_terminal_names_its_port() -> None:
    assert ports({"CLAUDE_CODE_SSE_PORT": "41234"}) == [
        PortRange(41234, 41234, "CLAUDE_CODE_SSE_PORT")
    ]
    assert [each.first for each in ports({"GEMINI_CLI_IDE_SERVER_PORT": "5000"})] == [5000]


def test_base_urls_and_services_of_this_machine() -> None:
    found = ports(
        {
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:4000",
            "OPENAI_BASE_URL": "https://api.example.com/v1",
            "DATABASE_URL": "postgres://localhost/db",
            "OLLAMA_HOST": "0.0.0.0",
        }
    )
    assert found == [
        PortRange(4000, 4000, "ANTHROPIC_BASE_URL"),
        PortRange(5432, 5432, "DATABASE_URL"),
        PortRange(11434, 11434, "OLLAMA_HOST"),
    ]


def test_proxies_in_upper_and_lower_case() -> None:
    found = ports({"HTTPS_PROXY": "http://localhost:3128", "all_proxy": "socks5://127.0.0.1"})
    assert [(each.first, each.source) for each in found] == [
        (3128, "HTTPS_PROXY"),
        (1080, "all_proxy"),
    ]


def test_other_variables_and_other_values_open_nothing() -> None:
    assert not ports(
        {
            "DOCKER_HOST": "tcp://127.0.0.1:2375",
            "EDITOR": "http://localhost:1",
            "CLAUDE_CODE_SSE_PORT": "1/../2",
            "GEMINI_CLI_IDE_SERVER_PORT": "0",
            "OPENAI_BASE_URL": "localhost:4000",
            "HTTP_PROXY": "http://proxy.example.com:3128",
        }
    )


def test_what_has_set_a_variable_is_named() -> None:
    assert ports({"REDIS_URL": "redis://localhost"}, "~/.claude/settings.json") == [
        PortRange(6379, 6379, "REDIS_URL of ~/.claude/settings.json")
    ]
