"""Which commands run an agent, as words and files tell; and which do not, however near they are."""

import shlex
from shlex import split as words_of

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.gateway.dialects.anthropic import DIALECT as ANTHROPIC
from relay.gateway.setup.command import Agent, File, Finder, agent_of, started, unwrapped
from relay.gateway.setup.shell import simple_commands

PACKAGE = "@anthropic-ai/claude-code"
VERSIONS = "/home/p/.local/share/claude/versions"
FILES = {
    "/pkg/cli.js": File("/pkg/cli.js", PACKAGE, "#!/usr/bin/env node\n"),
    "/sdk/cli.js": File("/sdk/cli.js", "@anthropic-ai/claude-agent-sdk"),
    "/other/cli.js": File("/other/cli.js", "left-pad", "#!/usr/bin/env node\nclaude"),
    "ai": File(f"{VERSIONS}/2.1.143"),
    "linked": File("/opt/bin/claude"),
    "wrapper": File("/bin/wrapper", script='#!/bin/sh\nset -e\nexport X=1\nexec claude "$@"\n'),
    "./wrapper": File("/bin/wrapper", script="#!/usr/bin/env bash\ncd /tmp && nice claude\n"),
    "run-all": File("/bin/run-all", script='#!/bin/sh\nexec "$@"\n'),
    "./plain": File("/x/plain"),
    "python-script": File("/x/p", script="#!/usr/bin/python3\nclaude\n"),
    "fish-script": File("/x/f", script="#!/usr/bin/fish\nclaude\n"),
    "loop": File("/x/loop", script="#!/bin/sh\nloop\n"),
}


def found(*words: str) -> Agent | None:
    return agent_of(words, FILES.get)


RUN = [
    "claude",
    "/usr/bin/claude -p hi",
    "env X=1 claude",
    "env -u Y -C /tmp X=1 Z=2 nice -n 5 claude",
    "env -S 'A=1 claude -p'",
    "timeout 5 claude -p",
    "timeout -k 1 --signal=KILL 5 claude",
    "timeout --signal KILL 5 claude",
    "nice claude",
    "nice -n10 claude",
    "nohup setsid stdbuf -oL claude",
    "stdbuf --output L claude",
    "ionice -c 3 claude",
    "taskset 1 claude",
    "chrt -r 10 claude",
    "time -f %e claude",
    "npx claude",
    "npx -y @anthropic-ai/claude-code@latest -p hi",
    "npx --package @anthropic-ai/claude-code claude",
    "npm exec -- @anthropic-ai/claude-code",
    "npm x claude",
    "bunx @anthropic-ai/claude-code@2",
    "bun x @anthropic-ai/claude-code",
    "pnpm dlx @anthropic-ai/claude-code",
    "yarn dlx @anthropic-ai/claude-code",
    "node /pkg/cli.js -p",
    "node --require x /pkg/cli.js",
    "bun run /pkg/cli.js",
    "node /sdk/cli.js",
    "ai",
    "linked",
    "wrapper",
    "./wrapper -x",
    "run-all claude -p",
    "sh -c claude",
    "bash -lc 'cd /tmp && claude -p hi'",
    "sh -c 'exec \"$@\"' sh claude -p",
    "sh -c 'if true; then claude; fi'",
    "sh -c 'X=1 claude >out 2>&1'",
    "sh -c 'echo hi | claude'",
    "sh -c 'echo $(claude -p)'",
    "sh -c '(cd /tmp; claude)'",
    "sh ./wrapper",
    "bash --rcfile x -c claude",
    "sh -c 'sh -c claude'",
    "sh -c 'command claude \\\n -p'",
]

NOT = [
    'sh -c \'echo ""; "" claude\'',
    "true",
    "echo claude",
    "env claude=1",
    "env",
    "nice",
    "npx left-pad",
    "npm install @anthropic-ai/claude-code",
    "npm",
    "npx",
    "bun claude.ts",
    "node /other/cli.js",
    "node -e claude",
    "node",
    "bash claude",
    "bash",
    "sh -c 'echo claude'",
    "sh -c 'echo \"unclosed claude'",
    "sh -c 'cat <<E\nclaude\nE'",
    "sh -c 'case $1 in claude) echo;; esac'",
    "sh -c 'case $1 in a) ;; claude) exec codex;; esac'",
    "sh -c 'echo >claude'",
    "sh -c '# claude'",
    "sh ./plain",
    "./plain",
    "python-script",
    "fish-script",
    "loop",
    "claude.sh",
    "ssh host claude",
    "docker run claude",
    "git grep claude",
    "sudo ls",
    "timeout 5",
    "",
]


@pytest.mark.parametrize("line", RUN)
def test_it_is_known(line: str) -> None:
    agent = found(*words_of(line))
    assert agent is not None
    assert (agent.name, agent.dialect, agent.obstacle) == ("claude", ANTHROPIC, "")


@pytest.mark.parametrize("line", NOT)
def test_it_is_not_taken_for_one(line: str) -> None:
    assert found(*words_of(line)) is None


def test_how_it_is_known_is_told() -> None:
    for words, why in (
        (("claude",), "the command is claude"),
        (("/usr/bin/npx", "claude"), "npx runs claude"),
        (("env", "nice", "claude"), "env runs claude"),
        (("ai",), "ai runs claude"),
    ):
        agent = found(*words)
        assert agent is not None
        assert agent.why == why


@pytest.mark.parametrize(
    ("line", "obstacle"),
    [
        ("sudo -u me claude", "sudo gives it another environment"),
        ("nice doas claude", "doas gives it another environment"),
        ("env -i PATH=/bin claude", "env -i clears its environment"),
        ("sh -c 'env - claude'", "env -i clears its environment"),
    ],
)
def test_what_keeps_the_variables_from_it(line: str, obstacle: str) -> None:
    agent = found(*words_of(line))
    assert agent is not None
    assert agent.obstacle == obstacle


@pytest.mark.parametrize(
    ("line", "sets"),
    [
        ("env A=1 B=2 claude", {"A": "1", "B": "2"}),
        ("env -u A B=2 claude", {"A": "", "B": "2"}),
        ("sh -c 'A=1; export B=2; C=3 claude'", {"A": "1", "B": "2", "C": "3"}),
        ("env A=1 sh -c 'A=2 claude'", {"A": "2"}),
    ],
)
def test_what_it_is_given_on_the_way(line: str, sets: dict[str, str]) -> None:
    agent = found(*words_of(line))
    assert agent is not None
    assert agent.sets == sets


WORDS = st.sampled_from(
    [
        *("claude", "", "env", "sh", "-c", "npx", "-p", "--", "-", "X=1", "timeout", "'", '"'),
        *("<", ">", "<<", "|", "&", "&&", ";", "(", ")", "\n", "\\", "#", "exec", "case", "$@"),
    ]
)


@given(st.lists(WORDS | st.text()), st.lists(WORDS | st.text()).map(" ".join))
def test_no_text_breaks_a_start(words: list[str], text: str) -> None:
    for command in (words, ["sh", "-c", text, *words], ["env", "-S", text]):
        Finder(FILES.get).found(command, 6)
    list(simple_commands(text, words))


def test_what_cannot_be_read_is_no_agent() -> None:
    def fail(word: str) -> File:
        raise RecursionError(word)

    assert agent_of(["x"], fail) is None


def test_what_starts_others_is_left_out_to_a_bounded_depth() -> None:
    assert unwrapped(words_of("env A=1 nice -n 5 docker run")) == ["docker", "run"]
    assert unwrapped([]) == []
    assert unwrapped(["nice"] * 9 + ["docker"]) == ["nice"] * 3 + ["docker"]


def test_the_programs_of_a_text_for_the_shell() -> None:
    assert list(started(words_of("nice docker run"))) == [["docker", "run"]]
    assert list(started(["sh", "-c", "A=1 a b; sudo c | sh -c 'd'"])) == [["a", "b"], ["c"], ["d"]]
    assert list(started(["sh", "script"])) == [["sh", "script"]]
    assert list(started([])) == [[]]
    words = ["docker"]
    for _ in range(9):
        words = ["sh", "-c", shlex.join(words)]
    assert list(started(words)) == [], "texts within texts are read so deep"
